"""The twin by itself: the properties that make it a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from jaxdec.config.parts import Full, MoE
from jaxdec.config.positions import RoPE
from jaxdec.errors import UserError
from jaxdec.parity.pairs.encoder_decoders import PAPER
from parity_tests.twins import GENERIC, SHORT, run, sides
from tests.variants import GPT
from torchref.generation import generate
from torchref.layers.attention.attention import Heads
from torchref.layers.attention.kernel import attend
from torchref.layers.dropout import Dropout
from torchref.layers.mlp import make_mlp
from torchref.layers.moe.router import gates
from torchref.layers.norm import make_norm
from torchref.layers.position import rope_frequencies
from torchref.layers.residual import branch_input, residual_sum
from torchref.models.decoder import Decoder
from torchref.models.wirings import make_model
from torchref.training.loop import train_step
from torchref.training.optim import make_optimizer, parameter_groups


def test_the_fused_attention_kernel_is_the_written_out_one() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v, cotangent = (torch.randn(2, 3, 9, 4, dtype=torch.float64, generator=generator) for _ in range(4))
    inputs = [part.requires_grad_() for part in (q, k, v)]
    none = dict.fromkeys(("present_BS", "documents", "softcap", "alibi", "sink_H"))
    written = attend(q, k, v, pattern=Full(), scale=4**-0.5, dropout=Dropout(0.0), **none)
    fused = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    gradients = [torch.autograd.grad(out, inputs, cotangent) for out in (written, fused)]
    for a, b in zip([written, *gradients[0]], [fused, *gradients[1]], strict=True):
        assert (a - b).norm() <= 1e-15 * b.norm()


@dataclass(frozen=True)
class Unknown:
    """A part of a kind that no layer knows."""

    epsilon: float = 1e-5
    hidden: int = 8
    expansion: int = 4
    activation: str = "silu"


def changed(config: Any, **values: Any) -> Any:
    """A config with values that its class would refuse."""
    config = replace(config)
    for name, value in values.items():
        object.__setattr__(config, name, value)
    return config


def built(config: Any) -> Any:
    return make_model(config, compute_dtype=torch.float32)


OTHER: Any = Unknown()
TOKENS = torch.zeros(1, 4, dtype=torch.long)
UNKNOWN: dict[str, Callable[[], Any]] = {
    "mlp": lambda: make_mlp(GPT, OTHER),
    "mlp of a block": lambda: built(changed(GPT, mlp=OTHER)),
    "expert": lambda: built(replace(GPT, mlp=changed(MoE(experts=2), expert=OTHER))),
    "norm": lambda: make_norm(16, OTHER, bias=True),
    "norm of a block": lambda: built(changed(GPT, branch_norm="none")),
    "residual of a block": lambda: built(changed(GPT, residual="none")),
    "norm place, input": lambda: branch_input(torch.nn.Identity(), torch.ones(1), "both"),  # type: ignore[arg-type]
    "norm place, sum": lambda: residual_sum(torch.nn.Identity(), torch.ones(1), torch.ones(1), "both"),  # type: ignore[arg-type]
    "norm of queries": lambda: built(changed(GPT, qk_norm_over="pair")),
    "position": lambda: built(changed(GPT, position=OTHER))(TOKENS),
    "position of a layer": lambda: Heads(changed(GPT, position=OTHER), 0)(torch.ones(1, 4, GPT.width)),
    "position of an encoder": lambda: built(changed(PAPER, position=OTHER)).embed(TOKENS, source=True),
    "scaling": lambda: rope_frequencies(changed(RoPE(), scaling=OTHER), 8),
    "documents": lambda: built(changed(GPT, documents=OTHER))(TOKENS),
    "gates": lambda: gates(torch.ones(2, 3), torch.zeros(2, 1).long(), "some"),  # type: ignore[arg-type]
    "model": lambda: built(MoE(experts=2)),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_variant_is_an_error(case: str) -> None:
    with pytest.raises((AssertionError, KeyError), match=r"Unknown|MoE|none|both|pair|some"):
        UNKNOWN[case]()


def test_no_position_reads_what_follows_it() -> None:
    model = sides("gpt").reference.build(GENERIC)
    tokens = torch.from_numpy(sides("gpt").pair.draw(0, 1)[0]["tokens"]).long()
    embedded: list[torch.Tensor] = []
    model.token_embed.register_forward_hook(lambda *call: embedded.append(call[-1]))
    (gradient_BTD,) = torch.autograd.grad(model(tokens).logits_BTV[:, 5].sum(), embedded)
    gradient_T = gradient_BTD.abs().sum((0, 2))
    assert (gradient_T[:6] > 0).all()
    assert (gradient_T[6:] == 0).all()


def test_dropout_is_off_in_evaluation_and_keeps_the_mean_in_training() -> None:
    dropout, x = Dropout(0.25), torch.ones(200_000)
    assert torch.equal(dropout.eval()(x), x)
    torch.manual_seed(0)
    dropped = dropout.train()(x)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_each_parameter_is_in_one_group() -> None:
    model = Decoder(replace(GPT, tied_head=False), compute_dtype=torch.float32)
    decayed, plain = (group["params"] for group in parameter_groups(model, 0.1))
    assert sorted(map(id, [*decayed, *plain])) == sorted(map(id, model.parameters()))
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)].rpartition(".")[2] for p in decayed} == {"weight"}
    assert not any("norm" in names[id(p)] for p in decayed)


@pytest.mark.parametrize("fused", [False, True])
def test_training_learns_a_constant_text(fused: bool) -> None:
    config, batch = run(SHORT).at("float32"), dict(run(SHORT).batches(0, 1)[0])
    batch["targets"] = batch["tokens"] * 0 + 3
    torch.manual_seed(0)
    model = Decoder(config.model, compute_dtype=torch.float32)
    optimizer = make_optimizer(model, config.optim, fused=fused)
    losses = [train_step(model, optimizer, config, batch, step)["loss"].item() for step in range(30)]
    assert losses[0] == pytest.approx(3.6, abs=0.3)
    assert losses[-1] < 0.8 * losses[0]


def test_too_long_a_sequence_and_an_unknown_vocabulary_are_said() -> None:
    model = sides("gpt").reference.build(GENERIC)
    with pytest.raises(UserError, match="17 tokens is longer than the model's context of 16"):
        model(torch.zeros(1, 17, dtype=torch.long))
    with pytest.raises(UserError, match="vocab_size is not set"):
        Decoder(replace(GPT, vocab_size=None), compute_dtype=torch.float32)


def test_filters_keep_what_their_definitions_say() -> None:
    logits = torch.tensor([[0.5, 0.2, 0.15, 0.1, 0.05]]).log()

    def kept(**settings: float) -> list[int]:
        return generate.shape_logits(logits, generate.Sampling(**settings)).isfinite()[0].nonzero().flatten().tolist()  # type: ignore[arg-type]

    assert kept(top_k=2) == [0, 1]
    assert kept(top_p=0.6) == [0, 1]
    assert kept(top_p=0.75) == [0, 1, 2]
    assert kept(min_p=0.25) == [0, 1, 2]
    assert kept(top_k=3, min_p=0.35) == [0, 1]


def test_draws_follow_the_probabilities() -> None:
    torch.manual_seed(0)
    model = sides("gpt").reference.build(GENERIC).float()
    prompt = torch.from_numpy(sides("gpt").pair.prompts(0)[1])[None].repeat(4000, 1)
    with torch.no_grad():
        expected = model(prompt[:1]).logits_BTV[0, -1].softmax(-1)
    drawn = generate.generate(model, prompt, 1, generate.Sampling())[:, 0]
    share = torch.bincount(drawn, minlength=37) / len(drawn)
    assert (share - expected).abs().max() < 5 * (0.25 / len(drawn)) ** 0.5


def test_names_are_those_of_the_jax_model() -> None:
    ours = {name.rpartition(".")[0] for name in sides("gpt").candidate.candidate.shapes}
    assert ours == {name.rpartition(".")[0] for name in sides("gpt").reference.build(GENERIC).state_dict()}
