"""BLEU: sacrebleu's own figure, several references, and the line where it is not installed."""

from __future__ import annotations

import sys

import pytest

from jaxdec.errors import UserError
from jaxdec.evaluation.bleu import bleu, require_sacrebleu, signature

HYPOTHESES = ["the cat sat on the mat", "he reads a book in the garden"]


def test_equal_texts_score_100_and_any_reference_counts():
    pytest.importorskip("sacrebleu")
    assert bleu(HYPOTHESES, [[text] for text in HYPOTHESES]) == pytest.approx(100)
    others = [["a cat was sitting there", HYPOTHESES[0]], [HYPOTHESES[1]]]
    assert bleu(HYPOTHESES, others) == pytest.approx(100)
    one_right = bleu(HYPOTHESES, [others[0][:1], others[1]])
    assert 30 < one_right < 70


def test_the_signature_is_sacrebleus_own():
    sacrebleu = pytest.importorskip("sacrebleu")
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU()
    metric.corpus_score(HYPOTHESES, [["a", "b"], ["c", None]])
    assert str(metric.get_signature()) == signature()
    assert sacrebleu.__version__ in signature()


def test_without_sacrebleu_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(UserError, match=r"pip install 'jaxdec\[translate\]'"):
        require_sacrebleu()
