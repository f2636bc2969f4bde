"""One side's tensors in a folder: read back as they were, never half-written, never read when damaged."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jaxdec.errors import UserError
from jaxdec.parity.compare.dump import STAGES, Recording, batch_digests, digest, dump, read_dump

pytest.importorskip("safetensors")

BATCH = {"tokens": np.arange(6, dtype=np.int32).reshape(2, 3), "mask": np.ones((2, 3), np.float32)}
WEIGHTS = {"b.kernel": np.eye(3), "a.scale": np.ones(3)}
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)
dtypes = st.sampled_from([np.float32, np.float64, np.float16, np.int32, np.int64, np.bool_])
arrays = npst.arrays(dtypes, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


def recording(**changes: Any) -> Recording:
    given: dict[str, Any] = {"side": "candidate", "pair": "tiny", "stages": {"weights": WEIGHTS}, "batches": [BATCH]}
    return Recording(**{**given, **changes})


@given(st.dictionaries(st.sampled_from(STAGES[1:]), st.dictionaries(names, arrays, max_size=3), max_size=3))
def test_what_is_read_back_is_what_was_written(stages: dict[str, dict[str, np.ndarray]]) -> None:
    turned = {"weights": {**WEIGHTS, "turned": np.arange(6.0).reshape(2, 3).T}}
    with TemporaryDirectory() as folder:
        made = dump(f"{folder}/new/dump", recording(stages={**stages, **turned}, precision="float32", seed=3))
        read = read_dump(made)
    assert (read.side, read.pair, read.precision, read.weight_init, read.seed) == (
        ("candidate", "tiny", "float32", "generic", 3)
    )
    assert {name: list(held) for name, held in read.stages.items()} == {
        name: list(held) for name, held in {**stages, **turned}.items()
    }
    for stage, held in {**stages, **turned}.items():
        for name, value in held.items():
            found = read.stages[stage][name]
            assert (found.dtype, found.shape) == (value.dtype, value.shape)
            assert found.tobytes() == np.array(value, order="C").tobytes()


def test_stages_are_in_the_order_of_a_report(tmp_path: Path) -> None:
    taps = {name: np.zeros(1) for name in ("embed", "blocks.10", "blocks.2", "a")}
    read = read_dump(dump(tmp_path / "d", recording(stages={"taps": taps, "weights": WEIGHTS})))
    assert list(read.stages) == ["weights", "taps"]
    assert list(read.stages["taps"]) == list(taps)


def test_bfloat16_is_held_exactly(tmp_path: Path) -> None:
    bits = np.arange(0x3F00, 0x4100, dtype=np.uint16).view(ml_dtypes.bfloat16)
    read = read_dump(dump(tmp_path / "d", recording(stages={"weights": WEIGHTS, "taps": {"x": bits}})))
    np.testing.assert_array_equal(read.stages["taps"]["x"].astype(ml_dtypes.bfloat16).view(np.uint16), bits.view("u2"))


def test_the_record_says_what_the_dump_is_of(tmp_path: Path) -> None:
    made = dump(tmp_path / "d", recording(rules="{*n} <- {*n}"))
    info = json.loads((made / "dump.json").read_text())
    assert info["format"] == 2 and info["rules"] == "{*n} <- {*n}"
    assert info["stages"] == {"weights": ["b.kernel", "a.scale"]}
    assert info["environment"]["numpy"] == np.__version__
    assert info["sha256"]["batch"] == batch_digests([BATCH])
    assert set(os.listdir(made)) == {"dump.json", "tensors.safetensors"} and os.listdir(tmp_path) == ["d"]


def test_digests_are_of_values_not_of_a_framework_s_types() -> None:
    narrow = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.float32([0.1, 2])}
    wide = {"b": narrow["b"].astype(np.float64), "a": np.asfortranarray(narrow["a"].astype(np.int64))}
    assert digest(narrow) == digest(wide)
    changes = [
        {"a": wide["a"] + 1},
        {"a": wide["a"].reshape(3, 2)},
        {"a": wide["a"].astype(float)},
        {"b": wide["b"][:1]},
    ]
    assert len({digest({**wide, **change}) for change in [{}, *changes]}) == 5
    assert digest({"c": wide["a"]}) != digest({"a": wide["a"]})


def test_digests_of_batches_tell_parts_and_order() -> None:
    other = {**BATCH, "tokens": BATCH["tokens"] + 1}
    one, two = batch_digests([BATCH, other]), batch_digests([other, BATCH])
    assert one["mask"] == two["mask"] and one["tokens"] != two["tokens"]


@pytest.mark.parametrize("fails", ["replace", "save_file"])
def test_a_failed_write_leaves_nothing(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "replace", full) if fails == "replace" else ("safetensors.numpy.save_file", full)))
    with pytest.raises(UserError, match=r"cannot write the dump .*: No space left on device; choose another folder"):
        dump(tmp_path / "d", recording())
    assert os.listdir(tmp_path) == []


def test_what_lies_in_the_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    dump(tmp_path / "d", recording())  # an empty folder is as good as none
    before = (tmp_path / "d" / "dump.json").read_bytes()
    with pytest.raises(UserError, match="exists already: choose another folder"):
        dump(tmp_path / "d", recording(seed=1))
    assert (tmp_path / "d" / "dump.json").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="exists already"):
        dump(tmp_path / "file", recording())
    with pytest.raises(UserError, match="cannot write the dump"):
        dump(tmp_path / "file" / "d", recording())


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ({"weights": WEIGHTS, "grads": {}}, r"no stage 'grads' \(did you mean 'gradients'\?\)"),
        ({"taps": {}}, "no weights"),
        ({"weights": {"a": np.array(["x"])}}, "weights/a holds <U1: only numbers"),
        ({"weights": {"a": np.array([None])}}, "weights/a holds object"),
    ],
)
def test_what_is_no_recording_is_refused(stages: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        dump(tmp_path / "d", recording(stages=stages))
    assert os.listdir(tmp_path) == []


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dump(tmp_path_factory.mktemp("sound") / "d", recording())


@given(st.data())
def test_no_damaged_tensor_is_read(sound: Path, data: st.DataObject) -> None:
    """A byte changed anywhere, or the end missing."""
    whole = (sound / "tensors.safetensors").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    damaged = whole[:at] + data.draw(st.sampled_from([b"", changed + whole[at + 1 :]]))
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(sound, f"{folder}/d"))
        (copy / "tensors.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match=r"tensors.safetensors is damaged .*: write or copy the dump again"):
            read_dump(copy)


def changed_record(sound: Path, folder: Path, change: dict[str, Any]) -> Path:
    copy = Path(shutil.copytree(sound, folder / "d"))
    info = json.loads((copy / "dump.json").read_text())
    (copy / "dump.json").write_text(
        json.dumps({key: value for key, value in {**info, **change}.items() if value != ""})
    )
    return copy


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 1}, "has format 1, and this jaxdec reads 2"),
        ({"format": ""}, "is not a dump"),
        ({"side": "jax"}, "damaged .side is 'jax'"),
        ({"precision": None}, "damaged .precision is None"),
        ({"stages": {"weights": ["c"]}}, "damaged .'weights/c'"),
        ({"stages": ["weights"]}, "damaged"),
        ({"sha256": "0"}, "damaged"),
        ({"rules": ""}, "damaged .'rules'"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(change: dict[str, Any], says: str, sound: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says) as caught:
        read_dump(changed_record(sound, tmp_path, change))
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_dumps_are_refused(sound: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none", sound / "dump.json"):
        with pytest.raises(UserError, match=re.escape(f"{folder} is not a dump")):
            read_dump(folder)
    copy = Path(shutil.copytree(sound, tmp_path / "d"))
    (copy / "tensors.safetensors").unlink()
    with pytest.raises(UserError, match=r"not a complete dump \(it has no tensors.safetensors\)"):
        read_dump(copy)
    (copy / "dump.json").write_text("{")
    with pytest.raises(UserError, match=r"dump.json is damaged \(it is no JSON\)"):
        read_dump(copy)


def test_a_missing_safetensors_is_said(tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for attempt in (lambda: dump(tmp_path / "d", recording()), lambda: read_dump(sound)):
        with pytest.raises(UserError, match="pip install safetensors"):
            attempt()
