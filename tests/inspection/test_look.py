"""What is shown is what the model computed: attention, routing, and what each layer would predict."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxdec.config.documents import Separate
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, Full, Local, MoE, RMSNorm, Strided
from jaxdec.config.positions import NoPosition, RoPE
from jaxdec.config.run import Precision
from jaxdec.errors import UserError
from jaxdec.inspection.look import Look, look
from jaxdec.layers.notes import taken
from jaxdec.library.activations import activations
from jaxdec.models.functional import Model, Params
from jaxdec.models.output import Output
from tests.tiny import generic_params
from tests.variants import MODELS

FLOAT64 = Precision("float64", "float64")
# Each layer attends by another pattern; grouped queries, rotary positions in every second layer, two documents.
PATTERNS = (Local(window=3, sink=0.5), Strided(stride=3, softcap=2.0), Full(alibi=8.0, sink=-0.5), Full())
MIXED = DecoderConfig(
    layers=4, heads=4, kv_heads=2, width=32, context=16, vocab_size=37, attention=PATTERNS, norm=RMSNorm(),
    position=(RoPE(theta=100.0), NoPosition()), documents=Separate(start=5), qk_norm=RMSNorm(), qkv_clip=1.5,
    logit_softcap=3.0, tied_head=False,
    mlp=(MLP(), MoE(experts=4, top_k=2, eval_capacity_factor=0.6, min_capacity=2)),
)  # fmt: skip
TOKENS = np.array([5, 1, 36, 7, 7, 2, 5, 30, 9, 12, 3, 3, 20], np.int32)
Seen = tuple[Model, Params, Look]


def applied(config: DecoderConfig, params: Params) -> Output:
    with jax.enable_x64(True):
        model = Model(config, FLOAT64)
        own = {name: params[name] for name in model.shapes()}
        return jax.device_get(jax.jit(model.apply)(own, TOKENS[None]))


@pytest.fixture(scope="module")
def seen() -> Seen:
    with jax.enable_x64(True):
        model = Model(MIXED, FLOAT64)
        params = generic_params(model)
        return model, params, look(model, params, TOKENS, top=100)


def test_weights_times_values_are_the_attention_output(seen: Seen) -> None:
    model, params, found = seen
    assert found.attention is not None and found.attention.dtype == np.float64
    with jax.enable_x64(True):
        taps = activations(model, params, TOKENS)
    for layer, weights_HTS in enumerate(found.attention):
        own = {
            name.split("attention.")[1]: np.asarray(value)
            for name, value in params.items()
            if f"blocks.{layer}.attention." in name
        }
        value_SKC = np.clip(
            taps[f"blocks.{layer}.attention_norm"][0] @ own["value.kernel"] + own["value.bias"], -1.5, 1.5
        )
        value_SHC = np.repeat(value_SKC.reshape(len(TOKENS), 2, 8), 2, axis=1)
        mixed_TD = np.einsum("hts,shc->thc", weights_HTS, value_SHC).reshape(len(TOKENS), -1)
        expected_TD = mixed_TD @ own["out.kernel"] + own["out.bias"]
        assert np.abs(expected_TD - taps[f"blocks.{layer}.attention"][0]).max() <= 1e-11


def test_rows_sum_to_one_and_keep_to_their_pattern(seen: Seen) -> None:
    found = seen[2]
    assert found.attention is not None and found.sink is not None
    starts_T = np.maximum.accumulate(np.where(TOKENS == 5, np.arange(len(TOKENS)), 0))
    query_T1, key_1S = np.arange(len(TOKENS))[:, None], np.arange(len(TOKENS))[None]
    for pattern, weights_HTS, sink_HT in zip(PATTERNS, found.attention, found.sink, strict=True):
        in_document = pattern.allowed(query_T1 - starts_T[:, None], key_1S - starts_T[:, None])
        allowed_TS = in_document & (key_1S >= starts_T[:, None])
        assert ((weights_HTS > 0) == allowed_TS).all()
        if pattern.sink is None:
            assert np.abs(sink_HT).max() <= 1e-14
        else:
            assert sink_HT.min() > 0.01


def test_routing_is_what_the_model_reports(seen: Seen) -> None:
    _, params, found = seen
    metrics = applied(MIXED, params).metrics
    assert list(found.choices) == [1, 3]
    layers, assignments = found.choices.values(), 2 * len(TOKENS)
    assert metrics["dropped_fraction"] > 0
    assert np.mean([each.dropped for each in layers]) == pytest.approx(metrics["dropped_fraction"], abs=1e-14)
    for expert in range(4):
        share = np.mean([(each.expert == expert).sum() * 4 / assignments for each in layers])
        assert share == pytest.approx(metrics[f"load.{expert}"], abs=1e-14)
    entropy = np.mean([-(each.probability * np.log(each.probability)).sum(-1) for each in layers])
    assert entropy == pytest.approx(metrics["router_entropy"], abs=1e-12)
    for each in layers:
        best_T1 = np.take_along_axis(each.probability, each.expert[:, :1], -1)
        assert (best_T1 == each.probability.max(-1, keepdims=True)).all()
        assert np.abs(each.gate.sum(-1) - 1).max() <= 1e-14


def test_the_lens_is_the_model_with_its_last_layers_left_out(seen: Seen) -> None:
    _, params, found = seen
    assert found.lens.id.shape == (5, len(TOKENS), 37)
    for layers in (1, 4):
        changes = {} if layers == 4 else {"position": RoPE(theta=100.0), "attention": PATTERNS[0], "mlp": MLP()}
        logits_TV = applied(replace(MIXED, layers=layers, **changes), params).logits_BTV[0]
        expected_TV = np.exp(logits_TV) / np.exp(logits_TV).sum(-1, keepdims=True)
        order_TV = np.argsort(-expected_TV, axis=-1)
        assert np.abs(np.take_along_axis(expected_TV, order_TV, -1) - found.lens.probability[layers]).max() <= 1e-13
        true_T = np.take_along_axis(expected_TV[:-1], TOKENS[1:, None], -1)[:, 0]
        assert np.abs(true_T - found.lens.true[layers, :-1]).max() <= 1e-13
        assert (found.lens.rank[layers, :-1] == (expected_TV[:-1] > true_T[:, None] * (1 + 1e-12)).sum(-1)).all()
    assert np.isnan(found.next.true[-1]) and found.next.rank[-1] == -1
    assert (found.lens.id[-1] == found.next.id).all()
    assert np.abs(found.lens.probability[-1] - found.next.probability).max() <= 1e-14


def test_looking_changes_no_program() -> None:
    model = Model(MODELS["moe-gpt"], Precision())
    shapes, tokens = model.shapes(), jax.ShapeDtypeStruct((2, 8), np.int32)
    assert model.structure  # built once
    plain = str(jax.make_jaxpr(model.apply)(shapes, tokens))
    with taken() as notes:
        assert str(jax.make_jaxpr(lambda *args: model.apply(*args))(shapes, tokens)) == plain
    assert {name: len(values) for name, values in notes.items()} == {"stream": 3, "attention": 2, "routing": 1}


def test_models_without_layers_or_attention() -> None:
    bigram = Model(MODELS["bigram"], Precision())
    found = look(bigram, generic_params(bigram), TOKENS)
    assert found.attention is None and found.sink is None and not found.choices
    assert found.lens.id.shape == (1, len(TOKENS), 10)
    head = Model(MODELS["single head"], Precision())
    found = look(head, generic_params(head), TOKENS[:1])  # a single token reads itself
    assert found.attention is not None and found.attention.tolist() == [[[[1.0]]]]


def test_a_classifier_gives_its_classes() -> None:
    model = Model(replace(MODELS["gpt"], classes=3), Precision())
    found = look(model, generic_params(model), TOKENS)
    assert found.next.id.shape == (len(TOKENS), 3) and np.isnan(found.next.true).all()
    assert np.abs(found.next.probability.sum(-1) - 1).max() < 1e-6


@pytest.mark.parametrize(
    ("tokens", "top", "said"),
    [([], 5, "no token"), (range(17), 5, "17 tokens, and the model's context is 16"), ([1], 0, "top is 0")],
)
def test_what_cannot_be_read_is_refused(tokens: list[int], top: int, said: str) -> None:
    model = Model(MODELS["gpt"], Precision())
    with pytest.raises(UserError, match=said):
        look(model, model.shapes(), list(tokens), top)  # type: ignore[arg-type]
