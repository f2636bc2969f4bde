"""Save and restore: what comes back, where it lands, what is kept."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdec.checkpoints.checkpoints import Checkpoints, restore_params
from jaxdec.errors import UserError

META = {
    "seed": 1337,
    "config": {"model": {"layers": 2}, "rate": 1e-3},
    "tokenizer": {"hash": "ab", "characters": "\n aé"},
}


def make_state(seed: int = 0, width: int = 8) -> dict[str, Any]:
    """As a training run's: dotted names one of which begins another, an optax state, a scalar step, several types."""
    kernel, embedding = jax.random.normal(jax.random.key(seed), (2, width, width))
    params = {
        "blocks.0.attention.query.kernel": kernel,
        "token_embed.embedding": embedding,
        "final_norm.scale": jnp.full(width, seed, jnp.bfloat16),
        "final_norm": jnp.float32(seed),
    }
    moments = optax.adamw(1e-3).init({name: leaf.astype(jnp.float32) for name, leaf in params.items()})
    flags = {"mask": kernel > 0, "bytes": jnp.arange(5, dtype=jnp.uint8), "key": jax.random.key(seed)}
    return {"step": jnp.int32(seed), "params": params, "opt": moments, "flags": flags}


def abstract(state: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)


def assert_same_bits(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype, path
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), path


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    state = make_state(3)
    saved = Checkpoints(tmp_path, keep=2)
    saved.save(3, state, META)
    saved.close()
    restored, meta = Checkpoints(tmp_path, keep=2).restore(abstract(state))
    assert_same_bits(restored, state)
    assert {name: meta[name] for name in META} == META
    assert meta["step"] == 3
    assert meta["versions"]["jax"] == jax.__version__
    assert set(meta) == {*META, "step", "versions"}


def test_the_newest_are_kept_and_listed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "deep" / "folder", keep=2)
    assert checkpoints.steps() == []
    for step in (1, 2, 10):
        checkpoints.save(step, make_state(step), META)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 10]
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["10", "2"]
    _, meta = checkpoints.restore(abstract(make_state()))
    assert meta["step"] == 10
    state, meta = checkpoints.restore(abstract(make_state()), step=2)
    assert meta["step"] == 2
    assert_same_bits(state, make_state(2))
    checkpoints.close()


def test_a_donated_state_is_saved_as_it_was_at_the_call(tmp_path: Path) -> None:
    advance = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    state = {"params": {f"kernel{i}": jax.random.normal(jax.random.key(i), (300, 1000)) for i in range(4)}}
    checkpoints = Checkpoints(tmp_path, keep=3)
    copies = {}
    for step in range(3):
        copies[step] = jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)
        checkpoints.save(step, state, META)
        for _ in range(3):
            state = advance(state)
    target = abstract(state)
    for step in range(3):
        assert_same_bits(checkpoints.restore(target, step=step)[0], copies[step])
    checkpoints.close()


def test_restores_on_fewer_and_on_more_devices(tmp_path: Path) -> None:
    def placed(axes: tuple[int, int], tree: Any) -> Any:
        devices = jax.devices()[: axes[0] * axes[1]]
        mesh = jax.make_mesh(axes, ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2, devices=devices)
        return jax.tree.map(lambda leaf: NamedSharding(mesh, P(*(("data", "fsdp")[: leaf.ndim]))), tree)

    state = {
        "step": jnp.int32(7),
        "params": {"up.kernel": jax.random.normal(jax.random.key(0), (8, 12)), "up.bias": jnp.arange(8.0)},
    }
    now, step = jax.device_put(state, placed((4, 1), state)), 0
    for step, axes in enumerate([(2, 2), (1, 1), (1, 4), (4, 1)]):
        writer = Checkpoints(tmp_path, keep=1)
        writer.save(step, now, META)
        writer.close()
        shardings = placed(axes, state)
        target = jax.tree.map(
            lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), state, shardings
        )
        now, _ = Checkpoints(tmp_path, keep=1).restore(target)
        assert jax.tree.map(lambda leaf: leaf.sharding, now) == shardings
        assert_same_bits(now, state)
        params, _ = restore_params(tmp_path)
        assert_same_bits(params, state["params"])
        assert all(len(leaf.devices()) == 1 for leaf in params.values())


def test_params_alone_come_back_and_the_folder_is_left_alone(tmp_path: Path) -> None:
    state = make_state(4)
    saved = Checkpoints(tmp_path, keep=2)
    saved.save(4, state, META)
    saved.close()
    (tmp_path / "5.orbax-checkpoint-tmp").mkdir()
    before = sorted(path for path in tmp_path.rglob("*"))
    lines: list[str] = []
    params, meta = restore_params(tmp_path, warn=lines.append)
    assert_same_bits(params, state["params"])
    assert meta["tokenizer"] == META["tokenizer"]
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert len(lines) == 1
    assert "checkpoint 5" in lines[0]
    assert "partial" in lines[0]
    assert restore_params(tmp_path, step=4, warn=pytest.fail)[1] == meta


def test_a_step_saved_twice_is_written_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, warn=pytest.fail)
    checkpoints.save(1, make_state(1), META)
    checkpoints.save(1, make_state(2), META)
    checkpoints.close()
    again = Checkpoints(tmp_path, keep=2, warn=pytest.fail)
    state, _ = again.restore(abstract(make_state()))
    assert_same_bits(state, make_state(1))
    again.save(1, make_state(2), META)
    again.close()
    assert_same_bits(again.restore(abstract(make_state()))[0], make_state(1))


def test_going_back_to_an_older_step_sets_the_later_ones_aside(tmp_path: Path) -> None:
    lines: list[str] = []
    checkpoints = Checkpoints(tmp_path, keep=3, warn=lines.append)
    for step in (1, 2, 3):
        checkpoints.save(step, make_state(step), META)
    checkpoints.close()
    again = Checkpoints(tmp_path, keep=3, warn=lines.append)
    again.restore(abstract(make_state()), step=1)
    again.save(2, make_state(22), META)
    again.close()
    assert again.steps() == [1, 2]
    assert_same_bits(again.restore(abstract(make_state()))[0], make_state(22))
    assert [line.split(" in ")[0] for line in lines] == ["checkpoint 2", "checkpoint 3"]
    assert (tmp_path / "2.superseded").is_dir()
    assert (tmp_path / "3.superseded").is_dir()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state["params"].update({"new.kernel": jnp.zeros(3)}), "params/new.kernel is missing there"),
        (
            lambda state: state["params"].update({"final_norm": jnp.zeros(3)}),
            r"params/final_norm is float32\[\] there and float32\[3\]",
        ),
        (lambda state: state.update({"step": jnp.float32(0)}), r"step is int32\[\] there and float32\[\] here"),
    ],
)
def test_a_state_of_another_shape_is_not_taken_for_damage(tmp_path: Path, change: Any, named: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, warn=pytest.fail)
    checkpoints.save(1, make_state(), META)
    other = make_state()
    change(other)
    with pytest.raises(UserError, match=named):
        checkpoints.restore(abstract(other))
    assert checkpoints.steps() == [1]
    checkpoints.close()


def test_meta_that_is_refused_is_told_before_the_arrays_are_compared(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, warn=pytest.fail)
    checkpoints.save(1, make_state(), META)

    def refuse(meta: dict[str, Any]) -> None:
        raise UserError(f"model.width is not {meta['config']['model']['layers']}")

    with pytest.raises(UserError, match=r"model\.width is not 2"):
        checkpoints.restore(abstract(make_state(width=4)), accept=refuse)
    assert checkpoints.restore(abstract(make_state()), accept=lambda meta: None)[1]["seed"] == 1337
    assert checkpoints.steps() == [1]
    checkpoints.close()


def test_float64_without_x64_is_refused_by_name(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        state = {"params": {"up.kernel": jnp.arange(3.0)}}
        assert state["params"]["up.kernel"].dtype == jnp.float64
        checkpoints = Checkpoints(tmp_path, keep=2)
        checkpoints.save(1, state, META)
        checkpoints.close()
        assert_same_bits(restore_params(tmp_path)[0], state["params"])
    with pytest.raises(UserError, match=r"float64 parameters: set .*JAX_ENABLE_X64"):
        restore_params(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint in"):
        restore_params(tmp_path / "nowhere")
    checkpoints = Checkpoints(tmp_path, keep=2)
    with pytest.raises(UserError, match="no checkpoint in"):
        checkpoints.restore(abstract(make_state()))
    checkpoints.save(1, make_state(), META)
    checkpoints.close()
    with pytest.raises(UserError, match=r"no checkpoint 5 in .* it has 1"):
        restore_params(tmp_path, step=5)


def test_a_start_pays_nothing_for_checkpoints(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from jaxdec.checkpoints.checkpoints import Checkpoints
made = Checkpoints(Path({str(tmp_path / "run")!r}), keep=2)
made.steps(), made.wait(), made.close()
print("orbax.checkpoint" in sys.modules, Path({str(tmp_path / "run")!r}).exists())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
