"""Greedy and beam decoding: cached equals uncached, a beam as wide as there are targets finds the best one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.run import MeshConfig, Precision
from jaxdec.distributed.sharding import make_mesh
from jaxdec.errors import UserError
from jaxdec.generation.beam import Beam, Targets, beam_search, greedy, length_norm
from jaxdec.generation.translation import translate
from jaxdec.models.functional import Model, Params
from jaxdec.parity.sides.weights import generic_weights
from tests.encoder_decoders import MODELS

BOUNDARY, TOKENS, ROWS = 0, 5, 8
EXACT = Precision("float64", "float64")
# An untied head, so that a model of random weights does not repeat the token that it reads
CONFIGS = {name: replace(config, vocab_size=TOKENS, tied_head=False) for name, config in MODELS.items()}
MODEL = Model(CONFIGS["paper"], Precision())
LENGTH = MODEL.config.context


def lively_params(model: Model) -> Params:
    """Random weights under which different sources, and different prefixes, get different next tokens."""
    drawn = generic_weights(model.shapes(), seed=3)
    drawn["token_embed.embedding"] /= model.config.width**0.5
    for name in drawn:
        if name.endswith(("cross_attention.query.kernel", "cross_attention.out.kernel")):
            drawn[name] *= 3
    return {name: jnp.asarray(value, model.precision.params) for name, value in drawn.items()}


@cache
def log_probabilities(model: Model):
    """Compiled (params, tokens, source, mask) -> log-probabilities of the next tokens, without a cache."""

    @jax.jit
    def run(params: Params, tokens: jax.Array, source: jax.Array, mask: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(model.apply(params, tokens, source=source, source_mask=mask).logits_BTV, axis=-1)

    return run


def sources() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, LENGTH + 1, ROWS)[:, None]
    ids = rng.integers(0, TOKENS, (ROWS, LENGTH), dtype=np.int32)
    return ids, (np.arange(LENGTH)[None, :] < lengths).astype(np.float32)


def vocabulary(size: int) -> tuple[np.int32, np.int32]:
    return np.int32(BOUNDARY), np.int32(size)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_cached_greedy_decoding_equals_uncached(config):
    with jax.enable_x64(True):
        model = Model(config, EXACT)
        params = lively_params(model)
        ids, mask = sources()
        found = greedy(model, params, ids, mask, vocabulary(TOKENS), length=LENGTH)
        tokens = np.full((ROWS, LENGTH + 1), BOUNDARY, np.int32)
        live, sums, counts = np.ones(ROWS, bool), np.zeros(ROWS), np.zeros(ROWS, int)
        for step in range(LENGTH):  # what follows a place does not change it: all places are read at each step
            log_p_BV = np.asarray(log_probabilities(model)(params, tokens[:, :-1], ids, mask))[:, step]
            sums += np.where(live, log_p_BV.max(-1), 0)
            counts += live
            tokens[:, step + 1] = np.where(live, log_p_BV.argmax(-1), BOUNDARY)
            live &= tokens[:, step + 1] != BOUNDARY
        np.testing.assert_array_equal(found.tokens_BN, tokens[:, 1:])
        np.testing.assert_array_equal(found.counts_B, counts)
        np.testing.assert_allclose(found.log_p_B, sums, rtol=1e-12)
        assert len(set(counts.tolist())) > 1  # some end, and not all at once


def searched(width: int, length_penalty: float, tokens: int = TOKENS) -> Targets:
    params, (ids, mask) = lively_params(MODEL), sources()
    return beam_search(
        MODEL, params, ids, mask, vocabulary(tokens), np.float32(length_penalty), length=LENGTH, width=width
    )


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 3.0])
def test_a_beam_of_one_is_greedy(length_penalty: float):
    found = greedy(MODEL, lively_params(MODEL), *sources(), vocabulary(TOKENS), length=LENGTH)
    for a, b in zip(searched(1, length_penalty), found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


SHORT = 3


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
def test_an_exhaustive_beam_finds_the_best_target(length_penalty: float):
    """Against every target there is, scored one by one without a cache."""
    with jax.enable_x64(True):
        model = Model(CONFIGS["paper"], EXACT)
        params, (ids, mask) = lively_params(model), sources()
        every = [
            (*start, BOUNDARY)
            for length in range(SHORT)
            for start in itertools.product(range(1, TOKENS), repeat=length)
        ] + list(itertools.product(range(1, TOKENS), repeat=SHORT))
        scored = []
        for target in every:
            tokens = np.array([[BOUNDARY, *target[:-1]]] * ROWS, np.int32)
            padded = np.pad(tokens, ((0, 0), (0, SHORT - tokens.shape[1])))
            log_p_BTV = np.asarray(log_probabilities(model)(params, padded, ids, mask))
            log_p_B = sum(log_p_BTV[:, place, token] for place, token in enumerate(target))
            scored.append((target, log_p_B, log_p_B / ((5 + len(target)) / 6) ** length_penalty))
        found = beam_search(
            model, params, ids, mask, vocabulary(TOKENS), np.float64(length_penalty), length=SHORT,
            width=TOKENS**SHORT,
        )  # fmt: skip
        answers = set()
        for row in range(ROWS):
            target, log_p_B, _ = max(scored, key=lambda entry: entry[2][row])
            assert found.tokens_BN[row, : found.counts_B[row]].tolist() == list(target)
            assert float(found.log_p_B[row]) == pytest.approx(log_p_B[row], rel=1e-12)
            answers.add(target)
        assert len(answers) > 1


def test_wider_beams_find_better_targets_on_the_whole():
    def scores(found: Targets) -> np.ndarray:
        return np.asarray(found.log_p_B / ((5 + found.counts_B) / 6) ** 0.6)

    one, four = scores(searched(1, 0.6)), scores(searched(4, 0.6))
    assert four.mean() > one.mean()
    assert np.mean(four >= one - 1e-5) > 0.8


@pytest.mark.parametrize("length_penalty", [0.6, 3.0])
def test_a_beams_log_probability_is_that_of_its_target(length_penalty: float):
    """As the model gives it for the whole target at once: each hypothesis keeps its own cache."""
    found, params, (ids, mask) = searched(4, length_penalty), lively_params(MODEL), sources()
    tokens_BN = np.asarray(found.tokens_BN)
    read_BN = np.concatenate([np.full((ROWS, 1), BOUNDARY, np.int32), tokens_BN[:, :-1]], axis=1)
    log_p_BNV = np.asarray(log_probabilities(MODEL)(params, read_BN, ids, mask))
    picked_BN = np.take_along_axis(log_p_BNV, tokens_BN[..., None], axis=-1)[..., 0]
    counted_BN = np.arange(LENGTH)[None, :] < np.asarray(found.counts_B)[:, None]
    np.testing.assert_allclose(found.log_p_B, (picked_BN * counted_BN).sum(-1), rtol=1e-4)
    assert len({tuple(tokens) for tokens in tokens_BN}) > 1


def test_the_length_norm_is_one_for_one_token():
    """Wu et al. 2016, eq. 14."""
    counts, dtype = np.array([1, 7, 13]), jnp.dtype("float32")
    assert length_norm(counts, np.float32(1.0), dtype).tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(length_norm(counts, np.float32(0.6), dtype), [1.0, 2**0.6, 3**0.6], rtol=1e-6)


def test_a_length_penalty_makes_targets_longer():
    lengths = [int(searched(4, penalty).counts_B.sum()) for penalty in (0.0, 0.6, 3.0)]
    assert lengths[0] <= lengths[1] < lengths[2]


def test_ids_beyond_the_vocabulary_are_never_drawn():
    assert np.asarray(searched(4, 0.6).tokens_BN).max() == 4
    assert np.asarray(searched(4, 0.6, tokens=4).tokens_BN).max() < 4
    found = greedy(MODEL, lively_params(MODEL), *sources(), vocabulary(4), length=LENGTH)
    assert np.asarray(found.tokens_BN).max() < 4


@pytest.mark.parametrize("beam", [Beam(1, 0.0), Beam(4, 0.6)], ids=str)
def test_a_translation_does_not_depend_on_its_company(beam: Beam):
    params, rng = lively_params(MODEL), np.random.default_rng(0)
    texts = [rng.integers(1, TOKENS, length) for length in (3, 11, 1, 6, 6)]
    together = translate(MODEL, params, texts, beam, boundary=BOUNDARY, vocab_size=TOKENS)
    for text, found in zip(texts, together, strict=True):
        (alone,) = translate(MODEL, params, [text], beam, boundary=BOUNDARY, vocab_size=TOKENS)
        assert alone.tokens.tolist() == found.tokens.tolist()
        assert alone.log_p == pytest.approx(found.log_p, rel=1e-4)
        assert BOUNDARY not in found.tokens
    assert translate(MODEL, params, [], beam, boundary=BOUNDARY, vocab_size=TOKENS) == []


def test_any_number_of_sources_is_translated_on_several_devices():
    params = lively_params(MODEL)
    texts = [np.arange(1, length + 1) % TOKENS for length in (3, 4)]

    def tokens() -> list[list[int]]:
        found = translate(MODEL, params, texts, Beam(1, 0.0), boundary=BOUNDARY, vocab_size=TOKENS)
        return [target.tokens.tolist() for target in found]

    with jax.set_mesh(make_mesh(MeshConfig())):
        spread = tokens()
    assert spread == tokens()


def test_wrong_input_is_refused():
    with pytest.raises(UserError, match="beam is 0"):
        Beam(0, 0.6)
    with pytest.raises(UserError, match="length-penalty is -1"):
        Beam(2, -1.0)
    rows = [np.ones(11, int), np.ones(12, int)]
    with pytest.raises(UserError, match="text 2 has 12 tokens, and the model reads at most 11"):
        translate(MODEL, lively_params(MODEL), rows, Beam(1, 0.0), boundary=0, vocab_size=TOKENS)
