"""What is wrong with a SPEC is said in one line, with exit code 2 and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxdec.cli.main import main

HEAD = """
import jax, jax.numpy as jnp, torch
from flax import linen, nnx
from torch import nn
from jaxdec.parity import Pair, Reference, from_function, from_linen, from_nnx, tap

V, D, T = 11, 4, 6

class Torch(nn.Module):
    def __init__(self, vocab=V, drop=0.0, context=T):
        super().__init__()
        self.embed, self.place, self.mix = nn.Embedding(vocab, D), nn.Embedding(context, D), nn.Linear(D, D)
        self.drop, self.head = nn.Dropout(drop), nn.Linear(D, vocab)
    def forward(self, tokens):
        x = self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))
        return self.head(self.drop(self.mix(x)))

class JAX(nnx.Module):
    def __init__(self, vocab=V, drop=0.0):
        rngs = nnx.Rngs(0)
        self.embed, self.place = nnx.Embed(vocab, D, rngs=rngs), nnx.Embed(T, D, rngs=rngs)
        self.mix, self.head = nnx.Linear(D, D, rngs=rngs), nnx.Linear(D, vocab, rngs=rngs)
        self.drop = nnx.Dropout(drop, rngs=rngs)
    def __call__(self, tokens):
        x = self.embed(tokens) + self.place(jnp.arange(tokens.shape[1]))
        return self.head(self.drop(self.mix(x)))

WEIGHTS = '''
{*path}.kernel <- {*path}.weight : T
{*path}.embedding <- {*path}.weight
{*path}.bias <- {*path}.bias
'''
call = lambda model, batch: model(batch["tokens"])
def made(reference=None, candidate=None, weights=WEIGHTS, **parts):
    reference = reference or Reference(Torch())
    return Pair(**{"name": "bad", "vocab_size": V, "context": T} | parts, reference=reference,
                candidate=candidate or from_nnx(JAX(), call), weights=weights)
"""
BAD = {  # name: (the rest of the SPEC, what the line says)
    "raises": (
        """
pair = made()
1 / 0
""",
        "pair.py, line {line} raised ZeroDivisionError: division by zero",
    ),
    "wrong_keyword": ("pair = made(contextt=3)", "unexpected keyword argument 'contextt'"),
    "vocabularies": (
        "pair = made(candidate=from_nnx(JAX(vocab=13), call))",
        "the candidate's vocabulary has 13 entries and the reference's 11",
    ),
    "padded_vocabulary": (
        """
pair = made(Reference(Torch(vocab=13)), weights='''
embed.embedding <- embed.weight : rows(0,11)
- <- embed.weight : rows(11,)
head.kernel <- head.weight : rows(0,11) T
- <- head.weight : rows(11,)
head.bias <- head.bias : rows(0,11)
- <- head.bias : rows(11,)''' + WEIGHTS)
""",
        "the candidate's vocabulary has 11 entries and the reference's 13",
    ),
    "taps_match_nothing": (
        "pair = made(taps='mix <- h.{i}.mix')",
        "matches no module of the reference; there are embed, place, mix, drop",
    ),
    "taps_lead_nowhere": (
        "pair = made(taps='mixx <- mix')",
        "'mixx <- mix' leads to no tap of the candidate, which has drop, embed",
    ),
    "taps_are_no_rules": ("pair = made(taps='mix = mix')", "line 1: 'mix = mix'"),
    "no_common_tap": (
        """
def f(params, batch):
    return tap('x', params['embed'][batch['tokens']]) @ params['head']['w'] + params['head']['b']
shape = lambda *at: jax.ShapeDtypeStruct(at, jnp.float32)
params = {'embed': shape(V, D), 'head': {'w': shape(D, V), 'b': shape(V)}}
pair = made(candidate=from_function(f, params), weights='''embed <- embed.weight
head.w <- head.weight : T
head.b <- head.bias
- <- place.weight
- <- mix.{any}''')
""",
        "no tap has the same name on both sides: the candidate has x, the reference embed, place, mix",
    ),
    "torch_dropout": ("pair = made(Reference(Torch(drop=0.1)))", "the reference's drop drops 0.1: call eval()"),
    "functional_noise": (
        """
class Noisy(Torch):
    def forward(self, tokens):
        return super().forward(tokens) + torch.randn(V)
pair = made(Reference(Noisy()))
""",
        "the reference is not deterministic: two runs on one batch differ, first at the logits",
    ),
    "nnx_dropout": (
        "pair = made(candidate=from_nnx(JAX(drop=0.2), call))",
        "the candidate's drop drops 0.2: call eval()",
    ),
    "linen_dropout": (
        """
class Linen(linen.Module):
    @linen.compact
    def __call__(self, tokens):
        x = linen.Embed(V, D, name="embed")(tokens) + linen.Embed(T, D, name="place")(jnp.arange(tokens.shape[1]))
        x = linen.Dense(D, name="mix")(x)
        return linen.Dense(V, name="head")(linen.Dropout(0.3, deterministic=False, name="drop")(x))
keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
variables = Linen().init(keys, jnp.zeros((1, T), int))
pair = made(candidate=from_linen(Linen(), variables, lambda m, v, batch: m.apply(v, batch["tokens"])))
""",
        "the candidate's drop drops 0.3: call the model with its dropout switched off",
    ),
    "rule_syntax": ("pair = made(weights='embed.embedding -> embed.weight')", "weight rules, line 1"),
    "rule_op": ("pair = made(weights='a <- b : Transpose')", "weight rules, line 1: 'a <- b : Transpose'"),
    "candidate_raises": (
        """
class Broken(nnx.Linear):
    def __call__(self, x):
        return super().__call__(x[..., :3])
model = JAX()
model.mix = Broken(D, D, rngs=nnx.Rngs(0))
pair = made(candidate=from_nnx(model, call))
""",
        "the candidate in mix (pair.py, line {broken}) raised TypeError",
    ),
    "reference_raises": (
        """
class Broken(Torch):
    def forward(self, tokens):
        return self.mix(self.embed(tokens)[..., :3])
pair = made(Reference(Broken()))
""",
        "the reference in mix (pair.py, line {broken}) raised RuntimeError: mat1 and mat2",
    ),
    "context": (
        "pair = made(context=T + 1)",
        "the reference in place (pair.py, line 15) raised IndexError: index out of range",
    ),
    "vocabulary_too_large": ("pair = made(vocab_size=V + 1)", "do vocab_size and context of the pair fit"),
    "batch_entry": (
        "pair = made(Reference(Torch(), call=lambda model, batch: model(batch['input_ids'])))",
        "reads 'input_ids', and the batch has tokens, targets, mask: give it by Pair(batches=...)",
    ),
    "candidate_batch_entry": (
        "pair = made(candidate=from_nnx(JAX(), lambda model, batch: model(batch['input_ids'])))",
        "the candidate (pair.py, line {line}) reads 'input_ids'",
    ),
    "tuple": (
        "pair = made(candidate=from_nnx(JAX(), lambda model, batch: (model(batch['tokens']), None)))",
        "`call` returned tuple: it must return logits [B,T,V]",
    ),
    "two_axes": (
        "pair = made(candidate=from_nnx(JAX(), lambda model, batch: model(batch['tokens'])[0]))",
        "`call` returned an array of shape (6, 11)",
    ),
    "no_params": ("pair = made(candidate=from_linen(None, {}, call))", "have no 'params'"),
    "tap_in_scan": (
        """
class Scanned(nnx.Module):
    def __init__(self):
        self.inner = JAX()
    def __call__(self, tokens):
        return jax.lax.scan(lambda carry, row: (carry, self.inner(row[None])[0]), None, tokens)[1]
pair = made(candidate=from_nnx(Scanned(), call), weights=WEIGHTS.replace('\\n{*path}', '\\ninner.{*path}'))
""",
        "lies inside a scan, remat or jit",
    ),
    "no_batches": ("pair = made(batches=lambda seed, count: [])", "was asked for 1 batches, and its `batches` gave 0"),
    "size": ("pair = made(batch_size=0)", "batch_size 0: give a whole number from 1"),
}


@pytest.fixture(autouse=True, scope="module")
def _broadcasting_as_users_do_it(_exact_frameworks: None) -> Iterator[None]:
    with jax.numpy_rank_promotion("allow"):
        yield


def said(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """The one line on stderr of a check that must end with exit code 2."""
    path = tmp_path / "pair.py"
    path.write_text(HEAD + text)
    assert main(["parity", "check", str(path), "--steps", "1", *flags]) == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1, err
    return err


@pytest.mark.parametrize("name", BAD)
def test_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = BAD[name]
    lines = (HEAD + text).splitlines()
    broken = next((number for number, line in enumerate(lines, 1) if "[..., :3]" in line), 0)
    line = said(text, tmp_path, capsys)
    assert expected.replace("{line}", str(len(lines))).replace("{broken}", str(broken)) in line


def test_dumps_of_different_batches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pair.py"
    path.write_text(HEAD + "pair = made()")
    for side, seed in (("candidate", "0"), ("reference", "1")):
        words = ["--side", side, "--out", str(tmp_path / side), "--seed", seed, "--steps", "1"]
        assert main(["parity", "dump", str(path), *words]) == 0
    capsys.readouterr()
    assert main(["parity", "compare", str(tmp_path / "candidate"), str(tmp_path / "reference")]) == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1 and "seed" in err


def test_a_bijection_that_fails_is_a_difference_and_no_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pair.py"
    path.write_text(HEAD + "pair = made(weights=WEIGHTS.replace(' : T', ''))")
    assert main(["parity", "check", str(path), "--steps", "1"]) == 1
    assert "with the last two axes swapped (T) it would fit" in capsys.readouterr().out
