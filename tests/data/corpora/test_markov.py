"""Markov chains: the conditional entropies against brute force, and the text against both."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.data.corpora.markov import ALPHABET, Markov
from jaxdec.data.files import sha256

SEEDS = st.integers(0, 2**31 - 1)


def stationary(chain: Markov) -> np.ndarray:
    """The chain over blocks of k letters as one big matrix, and its eigenvector for the eigenvalue 1."""
    letters, order = len(ALPHABET), chain.order
    states = list(itertools.product(range(letters), repeat=order))
    matrix = np.zeros((len(states), len(states)))
    for state in states:
        for letter in range(letters):
            after = (*state, letter)[1:]
            matrix[states.index(state), states.index(after)] += chain.transitions[(*state, letter)]
    values, vectors = np.linalg.eig(matrix.T)
    vector = np.real(vectors[:, np.argmin(abs(values - 1))])
    return (vector / vector.sum()).reshape((letters,) * order)


@pytest.mark.parametrize("order", [1, 2])
def test_conditional_entropies_against_enumeration(order):
    chain = Markov(order, seed=3)
    letters = range(len(ALPHABET))
    # The probability of each string of order + 2 letters, one by one.
    start, length = stationary(chain), order + 2
    strings = {}
    for string in itertools.product(letters, repeat=length):
        p = start[string[:order]]
        for i in range(order, length):
            p *= chain.transitions[string[i - order : i + 1]]
        strings[string] = p
    for n in range(length):
        joint, context = {}, {}
        for string, p in strings.items():
            joint[string[: n + 1]] = joint.get(string[: n + 1], 0.0) + p
            context[string[:n]] = context.get(string[:n], 0.0) + p
        expected = -sum(p * math.log(p / context[key[:n]]) for key, p in joint.items() if p > 0)
        assert chain.conditional_entropy(n) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 4), SEEDS)
def test_more_context_never_costs(order, seed):
    chain = Markov(order, seed)
    entropies = [chain.conditional_entropy(n) for n in range(order + 3)]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(entropies))
    assert entropies[order] == entropies[order + 1] == entropies[order + 2]
    assert 0 < entropies[-1] < entropies[0] <= math.log(len(ALPHABET)) or order == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), SEEDS)
def test_blocks_are_stationary(order, seed):
    blocks = Markov(order, seed).blocks
    assert blocks.sum() == pytest.approx(1, abs=1e-13)
    # Reading one letter on changes nothing: the first `order` letters and the last are distributed alike.
    np.testing.assert_allclose(blocks.sum(axis=0), blocks.sum(axis=-1), atol=1e-14)


@pytest.mark.parametrize("order", [0, 2, 3])
def test_the_text_has_the_entropy_rate(order):
    chain = Markov(order)
    text = chain.generate(300_000)
    assert -chain.log_probability(text) / len(text) == pytest.approx(chain.conditional_entropy(order), rel=0.01)


def test_the_text_has_the_entropies_of_shorter_contexts():
    chain = Markov(2)
    ids = np.array([ALPHABET.index(letter) for letter in chain.generate(300_000)])
    pairs = np.histogram2d(ids[:-1], ids[1:], bins=len(ALPHABET))[0] / (len(ids) - 1)
    single = pairs.sum(axis=1)
    h_single, h_pairs = (-(p[p > 0] * np.log(p[p > 0])).sum() for p in (single, pairs))
    assert h_single == pytest.approx(chain.conditional_entropy(0), rel=0.01)
    assert h_pairs - h_single == pytest.approx(chain.conditional_entropy(1), rel=0.01)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3), st.integers(0, 4))
def test_probabilities_of_all_texts_of_a_length_sum_to_one(order, length):
    chain = Markov(order, seed=5)
    texts = ("".join(letters) for letters in itertools.product(ALPHABET, repeat=length))
    assert sum(math.exp(chain.log_probability(text)) for text in texts) == pytest.approx(1, abs=1e-10)


def test_the_corpus_is_kept():
    assert sha256(Markov().generate().encode()) == "2d186d130d4a0805b7008e87136f20eead6d95758da9bcc2a27bd37a0b73d165"
    assert Markov().conditional_entropy(2) < 0.7 * Markov().conditional_entropy(0)  # context pays


def test_text_is_a_function_of_order_seed_and_length():
    text = Markov(2, 7).generate(5_000)
    assert len(text) == 5_000
    assert set(text) == set(ALPHABET)
    assert text == Markov(2, 7).generate(5_000)
    assert text[:100] == Markov(2, 7).generate(100)
    assert text != Markov(2, 8).generate(5_000)
    assert Markov(3).generate(2) == Markov(3).generate(9)[:2]
    fingerprints = {
        Markov(2).fingerprint(),
        Markov(3).fingerprint(),
        Markov(2, 7).fingerprint(),
        Markov(2).fingerprint(9),
    }
    assert len(fingerprints) == 4
