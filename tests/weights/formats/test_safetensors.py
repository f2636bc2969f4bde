"""Safetensors files there and back, and files that are damaged or lie: one line each, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.errors import UserError
from jaxdec.weights.formats.base import Lazy
from jaxdec.weights.formats.safetensors import KINDS, open_safetensors, write_safetensors

ARRAYS = {
    "wide": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([1.5, -2], np.float16),
    "short": np.array([[0.1], [3e38]], ml_dtypes.bfloat16),
    "scalar": np.array(2.0),
    "none": np.zeros((0, 4), np.float32),
    "mask": np.array([True, False, True]),
}


def lazy(arrays: dict[str, np.ndarray]) -> dict[str, Lazy]:
    return {name: Lazy(a.shape, a.dtype.name, lambda a=a: a) for name, a in arrays.items()}


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(start: int, end: int, shape: Any = (1,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_there_and_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path, lazy(ARRAYS), {"format": "np"})
    found = open_safetensors(path)
    assert found.metadata == {"format": "np"} and list(found.tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        back = found.tensors[name].read()
        assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()
        assert found.tensors[name].shape == array.shape and found.tensors[name].dtype == array.dtype.name


def test_the_library_reads_what_is_written_and_writes_what_is_read(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    arrays = {name: array for name, array in ARRAYS.items() if array.dtype != ml_dtypes.bfloat16}
    write_safetensors(tmp_path / "ours", lazy(arrays))
    for name, array in library.load_file(tmp_path / "ours").items():
        assert array.dtype == arrays[name].dtype and array.tobytes() == arrays[name].tobytes()
    library.save_file(arrays, tmp_path / "theirs", {"format": "np"})
    found = open_safetensors(tmp_path / "theirs")
    assert set(found.tensors) == set(arrays)
    assert all(found.tensors[name].read().tobytes() == arrays[name].tobytes() for name in arrays)


def test_a_file_of_torch_in_bfloat16(tmp_path: Path) -> None:
    torch, library = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    weight = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3) / 7
    library.save_file({"w": weight}, tmp_path / "theirs")
    back = open_safetensors(tmp_path / "theirs").tensors["w"].read()
    assert back.dtype == ml_dtypes.bfloat16 and (back.astype(np.float32) == weight.float().numpy()).all()


FOUR = bytes(4)
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it has 0 bytes"),
    "longer than the file": (raw({}, length=99), "99 bytes long, and the whole file has 10"),
    "huge header": (raw({}, length=2**63), "and 100000000 are the most"),
    "not JSON": (raw(b"{'a': 1}"), "its header is no JSON"),
    "not UTF-8": (raw(b"\xff{}"), "its header is no JSON"),
    "deep": (raw(b"[" * 200_000), "its header is no JSON"),
    "a list": (raw([]), "its header is no JSON object"),
    "metadata": (raw({"__metadata__": {"a": 1}}), "__metadata__"),
    "twice": (raw(b'{"a": {}, "a": {}}'), "names a twice"),
    "no offsets": (raw({"w": {"dtype": "F32", "shape": [1]}}), "the entry of w"),
    "no entry": (raw({"w": 3}), "the entry of w"),
    "negative": (raw({"w": entry(-4, 0)}, FOUR), "the entry of w"),
    "fractions": (raw({"w": entry(0, 4, (1.0,))}, FOUR), "the entry of w"),
    "truth": (raw({"w": entry(0, 4, (True,))}, FOUR), "the entry of w"),
    "a word for a shape": (raw({"w": {**entry(0, 4), "shape": ""}}, FOUR), "the entry of w"),
    "dtype": (raw({"w": entry(0, 4, dtype="Q4")}, FOUR), "w has dtype Q4, which is not supported"),
    "dtype of a list": (raw({"w": entry(0, 4, dtype=[])}, FOUR), "the entry of w"),
    "backwards": (raw({"w": entry(4, 0)}, FOUR), "w lies at 4 to 0 of 4 bytes"),
    "beyond the end": (raw({"w": entry(0, 8, (2,))}, FOUR), "w lies at 0 to 8 of 4 bytes"),
    "too small": (raw({"w": entry(0, 4, (2,))}, FOUR), "w of shape (2,) in F32 does not take 4 bytes"),
    "overflow": (raw({"w": entry(0, 4, (2**62, 2**62))}, FOUR), "does not take 4 bytes"),
    "overlap": (raw({"v": entry(0, 8, (2,)), "w": entry(4, 8)}, FOUR * 2), "w overlaps with v"),
    "same place": (raw({"v": entry(0, 4), "w": entry(0, 4)}, FOUR), "overlaps with"),
    "gap": (raw({"v": entry(0, 4), "w": entry(8, 12)}, FOUR * 3), "w leaves a gap after v"),
    "gap at the start": (raw({"w": entry(4, 8)}, FOUR * 2), "w leaves a gap after the header"),
    "rest": (raw({"w": entry(0, 4)}, FOUR * 2), "4 bytes after w belong to no tensor"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    content, expected = BROKEN[name]
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_safetensors(path)
    message = str(caught.value)
    assert expected in message and str(path) in message and "\n" not in message


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "a"
    write_safetensors(path, lazy(ARRAYS), {"a": "b"})
    return path.read_bytes()


def test_a_file_cut_anywhere_is_refused(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="is damaged"):
            open_safetensors(path)


@given(place=st.integers(0, 2**20), byte=st.integers(0, 255))
def test_a_changed_header_gives_an_error_or_arrays(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    changed = bytearray(whole)
    changed[place % (len(whole) - 40)] = byte
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(changed)
    try:
        tensors = open_safetensors(path).tensors
    except UserError:
        return
    for tensor in tensors.values():
        assert tensor.read().shape == tensor.shape


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"cannot be read|damaged"):
            open_safetensors(path)


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    def fail() -> np.ndarray:
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        write_safetensors(tmp_path / "a", {"w": Lazy((1,), "float32", fail)})
    with pytest.raises(UserError, match="complex64"):
        write_safetensors(tmp_path / "a", {"w": Lazy((1,), "complex64", fail)})
    assert not list(tmp_path.iterdir())


def test_every_dtype_of_the_table_comes_back(tmp_path: Path) -> None:
    arrays = {name: np.arange(4).astype(kind) for name, kind in KINDS.items()}
    write_safetensors(tmp_path / "a", lazy(arrays))
    found = open_safetensors(tmp_path / "a").tensors
    assert all(found[name].read().tobytes() == arrays[name].tobytes() for name in arrays)
