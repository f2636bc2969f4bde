"""Adapters: nothing but them learns or costs a gradient, and with their base they are one function."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.model import BigramConfig, DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, MoE
from jaxdec.config.run import MeshConfig, OptimConfig, Precision
from jaxdec.config.trainable import Everything, LastBlocks, LoRA, Matching, Trainable
from jaxdec.errors import UserError
from jaxdec.models.functional import Model, Params
from jaxdec.runs.directory import require_run
from jaxdec.runs.loading import load_run, open_source
from jaxdec.runs.start import Start, merged
from jaxdec.stages.run import open_stage, resume, train
from jaxdec.training.learner import Learner, trainable_names
from jaxdec.training.loop import Trainer, train_step
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import new_state
from jaxdec.weights.lora import is_adapter, merged_arrays
from jaxdec.weights.stream import LazyArray
from tests import tiny

EXPERTS = replace(tiny.MODEL, layers=1, mlp=MoE(4, expert=GatedMLP(24), shared=MLP(), shared_gate=True))
LORA = LoRA(rank=2, alpha=3.0)
DOUBLE = Precision("float64", "float64")


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(replace(tiny.MODEL, layers=1), id="dense"),
        pytest.param(EXPERTS, id="experts", marks=pytest.mark.long),
    ],
)
def test_a_fresh_adapter_changes_no_bit(config: DecoderConfig) -> None:
    """In both types; operation by operation, since XLA may add up the terms of another program in another order."""
    with jax.enable_x64(True):
        for precision in (Precision(), DOUBLE):
            model = Model(config, precision, LORA)
            params = model.init(jax.random.key(0))
            bare = model.base.init(jax.random.key(0))
            assert all(np.array_equal(params[name], value) for name, value in bare.items())
            assert {name for name in params if name not in bare} == {name for name in params if is_adapter(name)}
            with jax.disable_jit():
                ours, base = (each.apply(params, tiny.tokens(2, 8)).logits_BTV for each in (model, model.base))
            assert ours.dtype == precision.params and np.array_equal(ours, base)


def test_a_fresh_adapter_changes_no_bit_of_a_compiled_program() -> None:
    model = Model(tiny.MODEL, Precision(), LORA)
    params = model.init(jax.random.key(0))
    ours, base = (jax.jit(each.apply)(params, tiny.tokens(2, 8)).logits_BTV for each in (model, model.base))
    assert np.array_equal(ours, base)


@pytest.mark.parametrize("config", [replace(tiny.MODEL, layers=1), EXPERTS], ids=["dense", "experts"])
def test_merged_is_the_same_function(config: DecoderConfig) -> None:
    with jax.enable_x64(True):
        model = Model(config, DOUBLE, LORA)
        params = tiny.generic_params(model)
        arrays = {
            name: LazyArray(value.shape, np.dtype(value.dtype), lambda value=value: np.asarray(value))
            for name, value in params.items()
        }
        whole = {name: jnp.asarray(array.read()) for name, array in merged_arrays(arrays, LORA).items()}
        assert whole.keys() == model.base.shapes().keys()
        ours = model.apply(params, tiny.tokens(2, 8)).logits_BTV
        one = model.base.apply(whole, tiny.tokens(2, 8)).logits_BTV
        base = model.base.apply(params, tiny.tokens(2, 8)).logits_BTV
        assert jnp.linalg.norm(ours - one) <= 1e-11 * jnp.linalg.norm(one)
        assert jnp.linalg.norm(ours - base) > 1e-2 * jnp.linalg.norm(base)


def test_adapters_drop_their_inputs_in_training_alone() -> None:
    """At this rate nothing is left of an adapter's inputs in all but few runs; the base loses none of its own."""
    model = Model(replace(tiny.MODEL, layers=1), Precision(), LoRA(rank=2, dropout=0.999, targets=("query", "key")))
    params = tiny.generic_params(model)

    @jax.jit
    def read(keys: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits = [each.apply(params, tiny.tokens(1, 2)).logits_BTV for each in (model, model.base)]
        return *logits, jax.vmap(lambda key: model.apply(params, tiny.tokens(1, 2), key=key).logits_BTV)(keys)

    whole, base, dropped = read(jax.random.split(jax.random.key(0), 20))
    assert not np.allclose(whole, base, atol=1e-3)
    close = [np.allclose(each, base, atol=1e-4) for each in dropped]
    assert 10 <= sum(close) < 20, "most of them, and not all: the masks follow from the key"


WIDE = DecoderConfig(layers=2, heads=2, width=32, context=16, vocab_size=11, mlp=MLP(hidden=96), bias=False)


def step_of(trainable: Trainable) -> Any:
    """A lowered train step."""
    model = Model(WIDE, Precision(), trainable if isinstance(trainable, LoRA) else None)
    names = trainable_names(trainable, model.axes)
    made = Learner(model, make_optimizer(tiny.OPTIM, 20), LANGUAGE, names)
    batch = {name: jnp.asarray(leaf[None]) for name, leaf in tiny.batch(8, 16).items()}
    state = jax.eval_shape(lambda: new_state(made, model.init(jax.random.key(0))))
    return jax.jit(lambda state: train_step(made, state, batch, jax.random.key(0))[0]).lower(state), state


def test_no_gradient_of_a_whole_weight_is_formed() -> None:
    """Neither a product of its shape nor its cost, nor moments."""
    (full, state), (lora, adapted) = step_of(Everything()), step_of(LoRA(rank=2))
    for shape in ("32x96", "96x32"):  # up and down
        products = [text.count(f"-> tensor<{shape}xf32>") for text in products_of(full, lora)]
        assert products[0] >= WIDE.layers and products[1] == 0, shape
    # A token: 2 FLOPs for each entry of the blocks' matrices and the head forward, 2 for the gradient of what they
    # read, which is needed down to the first adapter, and 2 for that of the matrices, which is not.
    matrices = WIDE.layers * (4 * 32 * 32 + 2 * 32 * 96)
    flops = [each.compile().cost_analysis()["flops"] for each in (full, lora)]
    saved = flops[0] - flops[1] - 2 * 8 * 16 * 11 * 32  # the tied head's own
    narrow = 6 * 8 * 16 * WIDE.layers * 2 * (4 * 64 + 2 * 128)  # what the adapters cost
    assert saved == pytest.approx(2 * 8 * 16 * matrices - narrow, rel=0.2), flops
    adam = next(part for part in adapted["opt"] if hasattr(part, "mu"))
    assert set(adam.mu) == {name for name in adapted["params"] if is_adapter(name)}
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(each["opt"])) for each in (state, adapted)]
    assert sizes[1] < 0.2 * sizes[0]


def products_of(*steps: Any) -> list[str]:
    return ["\n".join(line for line in step.as_text().splitlines() if "dot_general" in line) for step in steps]


CONFIG = tiny.run_config(mesh=MeshConfig(data=1), train=replace(tiny.TRAIN, evaluate="none"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("lora") / "base"
    train(replace(CONFIG, train=replace(CONFIG.train, steps=4)), run)
    return run


@pytest.fixture(scope="module")
def adapted(base: Path) -> Path:
    run = base.parent / "lora"
    config = replace(CONFIG, init_from=str(base), trainable=replace(LORA, dropout=0.1))
    train(replace(config, optim=replace(CONFIG.optim, weight_decay=0.5)), run)
    return run


def params_of(run: Path) -> Params:
    return {name: np.asarray(param) for name, param in restore_params(run / "checkpoints")[0].items()}


def test_a_run_changes_the_adapters_alone(base: Path, adapted: Path) -> None:
    before, after = params_of(base), params_of(adapted)
    assert all(after[name].tobytes() == value.tobytes() for name, value in before.items())
    added = set(after) - set(before)
    assert len(added) == 2 * 12 and all(is_adapter(name) for name in added)
    assert all(after[name].any() for name in added), "B has left zero"


def test_a_run_goes_on_to_the_same_bits(adapted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(adapted, run)
    shutil.rmtree(run / "checkpoints" / "20")
    resume(run, require_run(run))
    whole = params_of(adapted)
    assert all(value.tobytes() == whole[name].tobytes() for name, value in params_of(run).items())


def test_loaded_it_has_its_adapters_and_as_a_start_it_is_merged(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load_run(adapted)
    assert run.model.lora == run.config.lora != LORA and any(map(is_adapter, run.params))
    still = OptimConfig(learning_rate=0.0, min_learning_rate=0.0, warmup_steps=0)
    start = replace(CONFIG, init_from=str(adapted), optim=still, train=replace(CONFIG.train, steps=1))
    train(replace(start, trainable=LoRA(rank=1)), tmp_path / "again")
    again = load_run(tmp_path / "again")
    assert again.params["blocks.0.mlp.up.lora_a"].shape == (16, 1)
    whole = {name: array.read() for name, array in merged(open_source(adapted)).arrays.items()}
    assert all(np.array_equal(again.params[name], value) for name, value in whole.items())
    ours, before = (each.model.apply(each.params, tiny.tokens(1, 8, vocab_size=8)).logits_BTV for each in (again, run))
    np.testing.assert_allclose(ours, before, rtol=1e-4, atol=1e-5)
    capsys.readouterr()


def test_a_classifier_starts_from_a_language_model(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its last layer is drawn; a head, where there is one, is left out with a line."""
    source = open_source(base)
    config = replace(source.config.model, classes=3)
    model = Model(config, Precision(), LORA)
    start = Start(model, source, 7, "init_from it", "")
    assert {name for name in start.fresh if not is_adapter(name)} == {"classifier.kernel", "classifier.bias"}
    drawn = start.drawn(dict.fromkeys(model.shapes()))  # type: ignore[misc]
    fresh = jax.jit(model.init)(jax.random.key(7))
    assert all(np.array_equal(drawn[name], fresh[name]) for name in start.fresh)
    assert trainable_names(LORA, model.axes) == frozenset(start.fresh)
    head = LazyArray((16, 8), np.dtype(np.float32), lambda: np.zeros((16, 8), np.float32))
    untied = replace(source, arrays={**source.arrays, "head.kernel": head})
    assert Start(model, untied, 7, "init_from it", "").left_out == ["head.kernel"]
    with pytest.raises(UserError, match=r"init_from it has an unknown parameter head\.kernel"):
        Start(Model(source.config.model, Precision()), untied, 7, "init_from it", "")


@pytest.mark.parametrize(
    ("targets", "config", "said"),
    [
        (("quary",), tiny.MODEL, "no linear layer is called 'quary'; the nearest names are query"),
        (("query", "blocks.7.*"), tiny.MODEL, r"called 'blocks\.7\.\*'; the nearest names are blocks\.\d"),
        (("q_proj",), tiny.MODEL, "called 'q_proj'; "),
        (("head",), replace(tiny.MODEL, tied_head=False), "'head' takes no adapter"),
        (("token_embed",), tiny.MODEL, "no linear layer is called 'token_embed'"),
        (("*",), BigramConfig(width=8, vocab_size=11), "this model has no linear layer beside its head"),
    ],
)
def test_targets_that_fit_nothing_are_one_line(targets: tuple[str, ...], config: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        _ = Model(config, Precision(), LoRA(targets=targets)).axes
    assert "\n" not in str(error.value)


def test_targets_are_names_or_their_ends() -> None:
    def adapted(*targets: str) -> set[str]:
        names = Model(EXPERTS, Precision(), LoRA(targets=targets)).axes
        return {name.removesuffix("lora_a").rstrip("._") for name in names if name.endswith("lora_a")}

    assert adapted("query", "value") == {"blocks.0.attention.query", "blocks.0.attention.value"}
    assert adapted("experts.*") == {f"blocks.0.mlp.experts.{part}" for part in ("gate", "up", "down")}
    assert adapted("shared.up", "blocks.0.attention.out") == {"blocks.0.mlp.shared.up", "blocks.0.attention.out"}
    assert len(adapted("*")) == 4 + 3 + 2 + 1


UNTIED = list(tiny.model(tied_head=False, layers=3).axes)


@pytest.mark.parametrize(
    ("blocks", "patterns"),
    [(0, ("head.*",)), (1, ("blocks.2.*", "final_norm.*", "head.*")), (3, ("blocks.*", "final_norm.*", "head.*"))],
)
def test_the_last_blocks(blocks: int, patterns: tuple[str, ...]) -> None:
    assert trainable_names(LastBlocks(blocks), UNTIED) == trainable_names(Matching(patterns), UNTIED)


def test_the_last_blocks_of_other_models() -> None:
    tied, classes = list(tiny.model().axes), list(tiny.model(classes=2).axes)
    assert trainable_names(LastBlocks(1), tied) == trainable_names(Matching(("blocks.1.*", "final_norm.*")), tied)
    assert trainable_names(LastBlocks(0), classes) == {"classifier.kernel", "classifier.bias"}
    with pytest.raises(UserError, match=r"blocks is 0, and the head of this model is its token table"):
        trainable_names(LastBlocks(0), tied)
    with pytest.raises(UserError, match=r"blocks is 3, and the model has 2: give a whole number up to 2"):
        trainable_names(LastBlocks(3), tied)


@pytest.mark.parametrize(
    "trainable", [pytest.param(LastBlocks(1), marks=pytest.mark.long), LORA], ids=["last block", "lora"]
)
def test_what_is_frozen_keeps_its_bits_on_a_mesh(trainable: Trainable) -> None:
    """Under weight decay, with microbatches, parameters split over devices."""
    config = tiny.run_config(mesh=MeshConfig(data=2, fsdp=2), trainable=trainable)
    optim, steps = replace(tiny.OPTIM, weight_decay=0.5), replace(CONFIG.train, microbatch=1, steps=4)
    trainer = Trainer(*open_stage(replace(config, optim=optim, train=steps)))
    trainer.start()
    before = jax.device_get(trainer.state["params"])
    list(trainer.run())
    changed = {name for name, param in trainer.state["params"].items() if param.tobytes() != before[name].tobytes()}
    assert changed == trainer.learner.trainable


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, r"trainable\.rank is 0: give a whole number from 1"),
        ({"alpha": 0.0}, r"trainable\.alpha is 0\.0: give a positive number"),
        ({"dropout": 1.0}, r"trainable\.dropout is 1\.0: give a number in \[0, 1\)"),
        ({"targets": ()}, r"trainable\.targets is empty"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        LoRA(**settings)
