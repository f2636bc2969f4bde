"""A NaN or an infinity is a difference with a name: on either side, and on both in the same place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxdec.cli.main import main
from jaxdec.parity import assert_parity
from jaxdec.parity.locate.finite import not_finite_in
from jaxdec.parity.report.html import to_html
from jaxdec.parity.report.report import from_json
from jaxdec.parity.spec import load_pair

SPEC = """
import jax.numpy as jnp, torch
from flax import nnx
from torch import nn
from jaxdec.parity import Pair, Reference, from_nnx

V, D, T = 11, 4, 6
WEIGHTS = '''
{*path}.kernel <- {*path}.weight : T
{*path}.embedding <- {*path}.weight
{*path}.bias <- {*path}.bias
'''

class TorchMix(nn.Linear):
    def forward(self, x):
        return TORCH(super().forward(x))

class Torch(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(V, D), TorchMix(D, D), nn.Linear(D, V)
    def forward(self, tokens):
        return self.head(self.mix(self.embed(tokens)))

class Mix(nnx.Linear):
    def __call__(self, x):
        return JAX(super().__call__(x))

class Model(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.embed, self.mix = nnx.Embed(V, D, rngs=rngs), Mix(D, D, rngs=rngs)
        self.head = nnx.Linear(D, V, rngs=rngs)
    def __call__(self, tokens):
        return self.head(self.mix(self.embed(tokens)))

pair = Pair("odd", Reference(Torch()), from_nnx(Model(), lambda model, batch: model(batch["tokens"])), V, T, WEIGHTS)
"""
PLAIN = "lambda x: x"
CASES = {  # name: (TORCH, JAX, where, what the finding says)
    "candidate": (PLAIN, "lambda x: jnp.log(-jnp.abs(x))", "mix", "NaN first in mix of the candidate"),
    "reference": ("lambda x: torch.log(-x.abs())", PLAIN, "mix", "NaN first in mix of the reference"),
    "infinity": (PLAIN, "lambda x: x / 0", "mix", "infinity first in mix of the candidate"),
    "both": (
        "lambda x: torch.log(-x.abs())",
        "lambda x: jnp.log(-jnp.abs(x))",
        "mix",
        "NaN first in mix of both sides, which proves nothing even where they agree",
    ),
    # sqrt has no derivative at zero: the values are equal, and what comes before it has no gradient
    "gradient": (
        PLAIN,
        "lambda x: x + jnp.sqrt(0 * x) ",
        "the gradient of mix.kernel",
        "NaN first in the gradient of mix.kernel of the candidate",
    ),
}


@pytest.fixture(autouse=True)
def _broadcasting_as_users_do_it(_exact_frameworks: None) -> Iterator[None]:
    with jax.numpy_rank_promotion("allow"):
        yield


def spec(folder: Path, name: str) -> Path:
    path = folder / "pair.py"
    path.write_text(SPEC.replace("TORCH", f"({CASES[name][0]})").replace("JAX(", f"({CASES[name][1]})("))
    return path


@pytest.mark.parametrize("name", CASES)
def test_it_is_a_difference_and_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where, says = CASES[name][2:]
    full = tmp_path / "report.json"
    words = ["--steps", "2", "--precisions", "float64", "--weight-inits", "generic", "--report-json", str(full)]
    assert main(["parity", "check", str(spec(tmp_path, name)), *words]) == 1
    out, err = capsys.readouterr()
    assert says in " ".join(out.split()) and "DIFFERENT" in out and not err
    report = from_json(full.read_text())
    assert [(each.kind, each.where) for each in report.findings] == [("not finite", where)] and not report.hints
    assert says in to_html(report) and not report.equal


def test_it_is_in_the_json_line_and_in_the_assertion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = spec(tmp_path, "both")
    assert main(["parity", "bisect", str(path), "--precisions", "float64", "--steps", "1", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["kind"] == "not finite" and finding["measured"] == "NaN" and "both sides" in finding["text"]
    with pytest.raises(AssertionError, match="NaN first in mix of both sides"):
        assert_parity(load_pair(str(path)), stages=["taps"], steps=1)


def test_it_is_named_from_two_dumps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = spec(tmp_path, "candidate")
    for side in ("candidate", "reference"):
        words = ["--side", side, "--out", str(tmp_path / side), "--steps", "1"]
        assert main(["parity", "dump", str(path), *words]) == 0
    capsys.readouterr()
    assert main(["parity", "compare", str(tmp_path / "candidate"), str(tmp_path / "reference")]) == 1
    assert "NaN first in mix of the candidate" in " ".join(capsys.readouterr().out.split())


def test_it_is_named_in_the_order_of_a_step_and_of_a_run() -> None:
    nan = float("nan")
    good = {"loss": {"loss": 1.0}, "gradients": {"a": 1.0, "b": 1.0}, "losses": {"run": [2.0, 1.0, 0.5]}}
    for changed, where in (
        ({}, None),
        ({"losses": {"run": [2.0, nan, nan]}}, "the loss of step 1"),
        ({"gradients": {"a": nan, "b": nan}, "losses": {"run": [2.0, nan, nan]}}, "the gradient of b"),
        ({"loss": {"loss": nan}, "gradients": {"a": nan, "b": 1.0}}, "the loss"),
    ):
        assert [finding.where for finding in not_finite_in(good | changed, good)] == ([where] if where else [])
