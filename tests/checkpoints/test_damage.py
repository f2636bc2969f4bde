"""Damage of every kind is named, an older checkpoint is used, and no damaged value is ever handed out."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.checkpoints.checkpoints import Checkpoints, restore_params
from jaxdec.errors import UserError

STEPS = (1, 2)


def make_state(step: int) -> dict[str, Any]:
    keys = jax.random.split(jax.random.key(step), 2)
    params = {"head.kernel": jax.random.normal(keys[0], (16, 16)), "head.bias": jax.random.normal(keys[1], (16,))}
    return {"step": jnp.int32(step), "params": params, "opt": {"nu": jnp.zeros(4)}}


TARGET = jax.eval_shape(lambda: make_state(0))


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints 1 and 2."""
    folder = tmp_path_factory.mktemp("sound")
    checkpoints = Checkpoints(folder, keep=2)
    for step in STEPS:
        checkpoints.save(step, make_state(step), {"seed": 5})
    checkpoints.close()
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "checkpoints"))


def edit_meta(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(checkpoint: Path) -> None:
        path = checkpoint / "meta" / "metadata"
        meta = json.loads(path.read_text())
        change(meta)
        path.write_text(json.dumps(meta))

    return edit


def values_of_another(checkpoint: Path) -> None:
    """Every file sound in itself, so that orbax reads it without complaint; only the values are those of step 1."""
    shutil.rmtree(checkpoint / "state")
    shutil.copytree(checkpoint.parent / "1" / "state", checkpoint / "state")


def step_of_another(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)
    shutil.copytree(checkpoint.parent / "1", checkpoint)


DAMAGE = {
    "other values": (values_of_another, r"the values of \S+ and \d more are not those that were saved"),
    "other step": (step_of_another, "it holds step 1"),
    "other seed": (edit_meta(lambda meta: meta.update(seed=6)), "its meta is not what was saved"),
    "other fingerprint": (
        edit_meta(lambda meta: meta["integrity"]["leaves"]["step"].update(sums="0" * 16)),
        "its meta is not what was saved",
    ),
    "no fingerprints": (edit_meta(lambda meta: meta.pop("integrity")), "integrity"),
    "meta not JSON": (
        lambda checkpoint: (checkpoint / "meta" / "metadata").write_text('{"seed": 5, '),
        "JSONDecodeError",
    ),
    "meta not UTF-8": (
        lambda checkpoint: (checkpoint / "meta" / "metadata").write_bytes(b"\xff\xfe"),
        "UnicodeDecodeError",
    ),
    "no meta": (lambda checkpoint: shutil.rmtree(checkpoint / "meta"), ""),
    "no arrays": (lambda checkpoint: shutil.rmtree(checkpoint / "state"), ""),
    "empty folder": (lambda checkpoint: (shutil.rmtree(checkpoint), checkpoint.mkdir()), ""),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_damaged_one_is_named_and_the_older_one_used(folder: Path, kind: str) -> None:
    damage, reason = DAMAGE[kind]
    damage(folder / "2")
    seen: list[str] = []
    params, _ = restore_params(folder, warn=seen.append)
    assert bits(params) == bits(make_state(1)["params"])
    lines: list[str] = []
    checkpoints = Checkpoints(folder, keep=2, warn=lines.append)
    state, meta = checkpoints.restore(TARGET)
    assert bits(state) == bits(make_state(1))
    assert (meta["step"], meta["seed"]) == (1, 5)
    assert len(lines) == len(seen) == 1
    for line in lines + seen:
        assert line.startswith(f"checkpoint 2 in {folder} is damaged (")
        assert line.endswith("using checkpoint 1")
        assert "\n" not in line
        assert re.search(reason, line)
    assert (folder / "2.damaged").is_dir()
    # The run goes on and writes the step anew.
    checkpoints.save(2, make_state(2), {"seed": 5})
    checkpoints.close()
    assert checkpoints.steps() == [1, 2]
    again = Checkpoints(folder, keep=2, warn=pytest.fail)
    assert bits(again.restore(TARGET)[0]) == bits(make_state(2))


def hurt(path: Path, how: str, place: int, mask: int) -> None:
    data = bytearray(path.read_bytes())
    if how == "flip" and data:
        data[place % len(data)] ^= mask
        path.write_bytes(data)
    elif how == "truncate":
        path.write_bytes(data[: place % (len(data) + 1)])
    elif how == "delete":
        path.unlink()


@settings(max_examples=80, deadline=None)
@given(
    how=st.sampled_from(["flip", "flip", "truncate", "delete"]),
    which=st.integers(0, 999),
    place=st.integers(0, 10**6),
    mask=st.integers(1, 255),
)
def test_no_damage_to_any_file_changes_what_is_restored(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, how: str, which: int, place: int, mask: int
) -> None:
    """Some files repeat others, so damage may be harmless; then the values are right. Else the older one is used."""
    folder = Path(shutil.copytree(sound, tmp_path_factory.mktemp("hurt") / "checkpoints"))
    files = sorted(path for path in (folder / "2").rglob("*") if path.is_file())
    hurt(files[which % len(files)], how, place, mask)
    lines: list[str] = []
    state, meta = Checkpoints(folder, keep=2, warn=lines.append).restore(TARGET)
    assert bits(state) == bits(make_state(meta["step"]))
    assert meta["seed"] == 5
    assert len(lines) == (meta["step"] == 1)


def test_when_none_is_good_all_are_named_and_nothing_is_moved(folder: Path) -> None:
    for step in STEPS:
        (folder / str(step) / "meta" / "metadata").write_text("no JSON")
    before = sorted(folder.rglob("*"))
    for restore in (lambda: restore_params(folder), lambda: Checkpoints(folder, keep=2).restore(TARGET)):
        with pytest.raises(UserError, match=r"no usable checkpoint in .*: 2 is damaged \(.*\); 1 is damaged \(.*\)"):
            restore()
    assert sorted(folder.rglob("*")) == before


def test_a_step_asked_for_by_name_is_not_replaced_by_another(folder: Path) -> None:
    (folder / "2" / "meta" / "metadata").write_text("no JSON")
    with pytest.raises(UserError, match=r"2 is damaged \(.*\); try one of 1"):
        restore_params(folder, step=2)
    assert restore_params(folder, step=1)[1]["step"] == 1


def test_an_unfinished_one_is_named_and_cleared_and_its_step_saved_anew(folder: Path) -> None:
    shutil.copytree(folder / "2", folder / "3.orbax-checkpoint-tmp")
    lines: list[str] = []
    checkpoints = Checkpoints(folder, keep=2, warn=lines.append)
    assert checkpoints.steps() == [1, 2]
    state, _ = checkpoints.restore(TARGET)
    assert bits(state) == bits(make_state(2))
    assert lines == [f"checkpoint 3 in {folder} is partial (its save was interrupted): removed"]
    checkpoints.save(3, make_state(3), {"seed": 5})
    checkpoints.close()
    assert [path.name for path in sorted(folder.iterdir())] == ["2", "3"]
    assert len(lines) == 1


def test_an_unfinished_first_one_is_named_when_the_run_saves(tmp_path: Path) -> None:
    """A run killed in its first save starts anew without a restore."""
    (tmp_path / "1.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "9.orbax-checkpoint-tmp").mkdir()
    lines: list[str] = []
    checkpoints = Checkpoints(tmp_path, keep=2, warn=lines.append)
    checkpoints.save(1, make_state(1), {"seed": 5})
    checkpoints.close()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert sorted(line.split(" in ")[0] for line in lines) == ["checkpoint 1", "checkpoint 9"]


def test_an_old_unreadable_one_does_not_stop_new_saves(folder: Path) -> None:
    for path in (folder / "1").rglob("*"):
        if path.is_file():
            path.write_bytes(b"\x00")
    checkpoints = Checkpoints(folder, keep=2, warn=pytest.fail)
    checkpoints.restore(TARGET)
    checkpoints.save(3, make_state(3), {"seed": 5})
    checkpoints.close()
    assert checkpoints.steps() == [2, 3]


def test_a_second_damaged_copy_of_a_step_gets_a_name_of_its_own(folder: Path) -> None:
    for name in ("2.damaged", "2.damaged-2"):
        edit_meta(lambda meta: meta.update(seed=6))(folder / "2")
        checkpoints = Checkpoints(folder, keep=2, warn=lambda line: None)
        checkpoints.restore(TARGET)
        assert (folder / name).is_dir()
        checkpoints.save(2, make_state(2), {"seed": 5})
        checkpoints.close()
