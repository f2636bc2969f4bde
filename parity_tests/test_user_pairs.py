"""Models that are not ours, as users bring them: the examples, and the habits of nnx, Linen and torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import linen, nnx
from torch import nn

from jaxdec.parity import Candidate, Pair, Reference, assert_parity, from_function, from_linen, from_nnx, tap
from jaxdec.parity.adapters.adamw import torch_adamw
from jaxdec.parity.check import check
from jaxdec.parity.spec import load_pair

EXAMPLES = Path(__file__).parents[1] / "examples" / "parity"
V, D, T = 13, 6, 5
RULES = """
{*path}.kernel <-? {*path}.weight : T
{*path}.embedding <-? {*path}.weight
{*path}.scale <-? {*path}.weight
{*path}.bias <-? {*path}.bias
"""
MODEL = ("weights", "taps", "logits", "loss", "gradients")
STAGES = {*MODEL, "optimizer", "greedy", "checkpoint", "trajectory"}
QUICK: dict[str, Any] = {"weight_inits": ["generic"], "stages": MODEL}


@pytest.fixture(autouse=True, scope="module")
def _broadcasting_as_users_do_it(_exact_frameworks: None) -> Iterator[None]:
    with jax.numpy_rank_promotion("allow"):
        yield


def pair_of(reference: Any, candidate: Candidate, **parts: Any) -> Pair:
    reference = reference if isinstance(reference, Reference) else Reference(reference)
    return Pair(**{"name": "users", "vocab_size": V, "context": T, "weights": RULES, "batch_size": 2} | parts,
                reference=reference, candidate=candidate)  # fmt: skip


def call(model: Any, batch: Any) -> Any:
    return model(batch["tokens"])


@pytest.mark.parametrize("name", ["linen_pair", "function_pair", "hf_gpt2"])
def test_an_example_is_equal_in_every_stage(name: str) -> None:
    path = EXAMPLES / f"{name}.py"
    assert len(path.read_text().splitlines()) < 40
    report = assert_parity(load_pair(str(path)), weight_inits=["generic"], steps=3)
    assert {comparison.stage for comparison in report.comparisons} == STAGES
    assert sum(comparison.stage == "taps" for comparison in report.comparisons) >= 9


@pytest.mark.long
def test_an_example_is_equal_in_every_precision() -> None:
    pair = load_pair(str(EXAMPLES / "nnx_pair.py"))
    report = assert_parity(pair, precisions=["float64", "float32", "bfloat16"], weight_inits=["generic"], steps=10)
    found = {(each.precision, each.stage) for each in report.comparisons}
    assert {stage for precision, stage in found if precision == "float64"} == STAGES
    for precision in ("float32", "bfloat16"):
        assert {stage for at, stage in found if at == precision} == {"taps", "logits", "gradients", "trajectory"}
        low = [each.name for each in report.comparisons if each.precision == precision]
        assert low[-1] == "all parameters after 10"


def test_the_tutorial_shows_the_example() -> None:
    text = (EXAMPLES.parents[1] / "docs" / "parity.md").read_text()
    spec = text.partition("```python\n")[2].partition("```")[0]
    assert "Pair(" in spec and spec in (EXAMPLES / "nnx_pair.py").read_text()


def test_a_model_with_a_loss_and_an_optimizer_of_its_own() -> None:
    path = EXAMPLES / "mingpt_pair.py"
    report = assert_parity(load_pair(str(path)), weight_inits=["generic"], steps=3)
    assert {comparison.stage for comparison in report.comparisons} == STAGES
    text = (EXAMPLES.parents[1] / "docs" / "parity.md").read_text()
    shown = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    assert any(block in path.read_text() and "optimizer=optimizer" in block for block in shown)


def test_one_decay_for_all_is_not_that_of_its_groups() -> None:
    pair = load_pair(str(EXAMPLES / "mingpt_pair.py"))
    plain = dataclasses.replace(pair.candidate, optimizer=optax.adamw(1e-3, b1=0.9, b2=0.95, weight_decay=0.1))
    with pytest.raises(AssertionError, match="optimizer"):
        assert_parity(dataclasses.replace(pair, candidate=plain), weight_inits=["generic"], stages=["optimizer"])


def test_the_planted_bugs_are_found_and_named() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_parity(load_pair(str(EXAMPLES / "port_with_bug.py")), weight_inits=["init"], steps=3)
    text = str(caught.value)
    for found in ("h.0.ln_1: semantic", "h.0.mlp: semantic", "norm epsilon", "GELU"):
        assert found in text
    assert "ln_2: semantic" not in text and "attn: semantic" not in text
    assert len(text.splitlines()) <= 12


# The habits of torch and nnx, in one model


class Torch(nn.Module):
    """A norm that runs twice, a tied head, a buffer, statistics, keyword arguments, a tuple; left in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(V, D), nn.Embedding(T, D)
        self.norm, self.mix = nn.LayerNorm(D), nn.Linear(D, D)
        self.batch_norm = nn.BatchNorm1d(D).eval()
        self.drop = nn.Dropout(0.0)
        self.register_buffer("gain", torch.tensor([0.5]))

    def forward(self, *, tokens: Any, positions: Any) -> Any:
        x = self.norm(self.embed(tokens) + self.place(positions))
        x = self.norm(x + self.gain * self.mix(x))
        x = self.drop(self.batch_norm(x.transpose(1, 2)).transpose(1, 2))
        return {"cache": None}, x @ self.embed.weight.T


class NNX(nnx.Module):
    def __init__(self, norm_dtype: Any = None, param_dtype: Any = jnp.float32, eps: float = 1e-5) -> None:
        rngs = nnx.Rngs(0)
        self.embed = nnx.Embed(V, D, param_dtype=param_dtype, rngs=rngs)
        self.place = nnx.Embed(T, D, param_dtype=param_dtype, rngs=rngs)
        self.norm = nnx.LayerNorm(D, epsilon=eps, dtype=norm_dtype, param_dtype=param_dtype, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(D, D, param_dtype=param_dtype, rngs=rngs)])
        self.batch_norm = nnx.BatchNorm(D, use_running_average=True, param_dtype=param_dtype, rngs=rngs)
        self.drop = nnx.Dropout(0.3, deterministic=True, rngs=rngs)
        self.gain = nnx.Variable(jnp.array([0.5]))

    def __call__(self, *, tokens: jax.Array, positions: jax.Array) -> Any:
        x = self.norm(self.embed(tokens) + self.place(positions))
        x = self.norm(x + self.gain[...] * self.layers[0](x))
        return self.embed.attend(self.drop(self.batch_norm(x))), {"cache": None}


def batches(seed: int, count: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        tokens = rng.integers(0, V, (2, T + 1), dtype=np.int32)
        positions = np.broadcast_to(np.arange(T, dtype=np.int32)[::-1], (2, T)).copy()
        batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:], "positions": positions}
        made.append(batch | {"mask": np.ones((2, T), np.float32)})
    return made


def keyword_pair(made: Any, **parts: Any) -> Pair:
    def read(place: int) -> Any:
        return lambda model, batch: model(tokens=batch["tokens"], positions=batch["positions"])[place]

    return pair_of(
        Reference(Torch(), call=read(1)),
        from_nnx(made, read(0), **parts),
        weights="layers.0.kernel <- mix.weight : T\nlayers.0.bias <- mix.bias\n" + RULES,
        taps="layers.0 <- mix\nnorm <- norm\nembed <- embed\nplace <- place\ndrop <- drop",
        batches=batches,
        continues=False,
    )


def test_habits_of_torch_and_nnx() -> None:
    report = assert_parity(keyword_pair(NNX()), steps=3)
    taps = [each.name for each in report.comparisons if each.stage == "taps" and each.weight_init == "generic"]
    assert taps == ["embed", "place", "norm", "layers.0", "norm~2", "drop"]


def test_bfloat16_parameters_and_a_function_of_the_precision() -> None:
    assert_parity(keyword_pair(NNX(param_dtype=jnp.bfloat16)), **QUICK)
    assert_parity(keyword_pair(lambda precision: NNX(norm_dtype=precision)), **QUICK)


def test_float32_inside_a_float64_run_is_called_precision() -> None:
    report = check(keyword_pair(NNX(norm_dtype=jnp.float32)), precisions=["float64"], say=lambda text: None, **QUICK)
    assert [(finding.where, finding.kind) for finding in report.findings] == [
        ("norm", "precision"),
        ("norm~2", "precision"),
    ]
    assert "rounds to float32 (test_user_pairs.py, line" in report.findings[0].text
    wrong = check(keyword_pair(NNX(eps=1e-3)), precisions=["float64"], say=lambda text: None, **QUICK)
    assert [(finding.where, finding.kind) for finding in wrong.findings] == [
        ("norm", "semantic"),
        ("norm~2", "semantic"),
    ]


# Linen


class Linen(linen.Module):
    """Compact, with a module called twice, dropout switched off at the call, and statistics of its own."""

    @linen.compact
    def __call__(self, tokens: jax.Array, train: bool = False) -> jax.Array:
        embed, norm = linen.Embed(V, D, name="embed"), linen.LayerNorm(epsilon=1e-5, name="norm")
        scale = self.variable("constants", "gain", lambda: jnp.full((1,), 0.5))
        x = norm(embed(tokens))
        x = linen.Dropout(0.2, name="drop")(norm(x + scale.value * linen.Dense(D, name="mix")(x)), not train)
        return linen.Dense(V, use_bias=False, name="head")(x)


class TorchOfLinen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.mix = nn.Embedding(V, D), nn.LayerNorm(D), nn.Linear(D, D)
        self.drop, self.head, self.unused = nn.Dropout(0.2), nn.Linear(D, V, bias=False), nn.Linear(D, 2)

    def forward(self, tokens: Any) -> Any:
        x = self.norm(self.embed(tokens))
        return self.head(self.drop(self.norm(x + 0.5 * self.mix(x))))


def linen_pair(train: bool = False, **parts: Any) -> Pair:
    model = Linen()
    variables = model.init(jax.random.key(0), jnp.zeros((1, T), jnp.int32))

    def read(model: Any, variables: Any, batch: Any) -> Any:
        return model.apply(variables, batch["tokens"], train, rngs={"dropout": jax.random.key(1)})

    rules = RULES + "- <- unused.{leaf}\n"
    return pair_of(TorchOfLinen().eval(), from_linen(model, variables, read, **parts), weights=rules)


def test_habits_of_linen_and_a_parameter_that_the_candidate_lacks() -> None:
    report = assert_parity(linen_pair(), steps=3)
    taps = [each.name for each in report.comparisons if each.stage == "taps" and each.weight_init == "init"]
    assert taps == ["embed", "norm", "mix", "norm~2", "drop", "head"]


def test_a_lacking_parameter_that_is_not_left_out_is_named() -> None:
    pair = linen_pair()
    report = check(pair_of(pair.reference, pair.candidate), precisions=["float64"], say=lambda text: None, **QUICK)
    assert {(finding.direction, finding.where) for finding in report.findings} == {
        ("weights", "unused.weight"),
        ("weights", "unused.bias"),
    }


# Functions, and what is trained how


def function(params: Any, batch: Any) -> Any:
    x = tap("embed", params["tables"][0][batch["tokens"]])
    return tap("mix", x @ params["w"]) @ params["tables"][0].T


class TorchOfFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(V, D), nn.Linear(D, D, bias=False)

    def forward(self, tokens: Any) -> Any:
        return self.mix(self.embed(tokens)) @ self.embed.weight.T


FUNCTION_RULES = "tables.0 <- embed.weight\nw <- mix.weight : T"
SHAPES = {"tables": [jax.ShapeDtypeStruct((V, D), jnp.float32)], "w": jax.ShapeDtypeStruct((D, D), jnp.float32)}


def test_a_function_and_optimizers_of_ones_own() -> None:
    def sgd(model: Any) -> Any:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return lambda step: optimizer.step()

    reference = Reference(TorchOfFunction(), optimizer=sgd)
    equal = from_function(function, SHAPES, optimizer=optax.sgd(0.1, momentum=0.9))
    assert_parity(pair_of(reference, equal, weights=FUNCTION_RULES), steps=3)
    other = from_function(function, SHAPES, optimizer=optax.sgd(0.1, momentum=0.9, nesterov=True))
    with pytest.raises(AssertionError, match=r"(?s)comparisons are over.*optimizer.*finding: optimizer: semantic"):
        assert_parity(pair_of(reference, other, weights=FUNCTION_RULES), weight_inits=["generic"], steps=3)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_default_optimizer_is_torchs(precision: str) -> None:
    """From zero, so that no sum rounds: optax's own is 6e-6 off in float32, for the rounding of 1 - 0.999^t."""
    gradients = np.random.default_rng(0).standard_normal((3, 50))
    parameter = nn.Parameter(torch.zeros(50, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter])
    with jax.enable_x64(precision == "float64"):
        params, made = jnp.zeros(50, precision), torch_adamw()
        state = made.init(params)
        for gradient in gradients:
            parameter.grad = torch.from_numpy(gradient)
            optimizer.step()
            updates, state = made.update(jnp.asarray(gradient, precision), state, params)
            params = params + updates
    error = np.linalg.norm(np.asarray(params, np.float64) - parameter.detach().numpy())
    assert error <= {"float32": 1e-6, "float64": 1e-14}[precision] * np.linalg.norm(parameter.detach().numpy())
