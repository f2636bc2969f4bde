"""Scores of a classifier: against scikit-learn, against formulas written out, and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from jaxdec.evaluation.intervals import Z, by_class, class_scores, delong, wilson


def drawn(classes: int, count: int = 200, seed: int = 0, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that know something of the labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return rng.normal(size=(count, classes)) + signal * np.eye(classes)[labels], labels


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_are_those_of_the_texts(classes: int) -> None:
    logits, labels = drawn(classes)
    scores, matrix = class_scores(logits, labels)
    predicted = logits.argmax(1)
    assert matrix.sum() == 200 and np.trace(matrix) == np.sum(predicted == labels)
    assert matrix[0, 1] == np.sum((labels == 0) & (predicted == 1)), "rows are the true classes"
    assert scores["accuracy"].value == np.mean(predicted == labels)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert scores["loss"].value == pytest.approx(-np.log(p[np.arange(200), labels]).mean(), rel=1e-12)
    theirs = precision_recall_fscore_support(labels, predicted, zero_division=0)  # type: ignore[arg-type]
    for name, values in zip(("precision", "recall", "f1"), theirs, strict=False):
        np.testing.assert_allclose(by_class(matrix)[name], values, rtol=1e-12)
        assert scores[name].value == pytest.approx(values[1] if classes == 2 else np.mean(values), rel=1e-12)
    for name, (value, low, high) in scores.items():
        assert low < value < high and high - low < 0.3, name


def test_the_area_counts_pairs_in_the_right_order() -> None:
    logits, labels = drawn(2)
    score = logits[:, 1] - logits[:, 0]
    pairs = np.sign(score[labels == 1][:, None] - score[labels == 0][None, :])
    assert class_scores(logits, labels)[0]["auroc"].value == pytest.approx((pairs.mean() + 1) / 2, rel=1e-12)


def test_delong_is_the_papers_formula() -> None:
    """The variance of the shares of positives over m, and of negatives over n: equation 5 of DeLong et al. 1988."""
    logits, labels = drawn(2, 61)
    p = np.stack([1 - np.tanh(logits[:, 1]), np.tanh(logits[:, 1])], axis=1)
    positive, negative = p[labels == 1, 1], p[labels == 0, 1]
    wins = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    half = Z * variance**0.5
    assert delong(p, labels) == pytest.approx((wins.mean() - half, wins.mean() + half), rel=1e-12)


def test_wilsons_interval_holds_where_nothing_and_everything_is_right() -> None:
    assert wilson(0, 20)[0] == 0 and wilson(0, 20)[1] == pytest.approx(0.1611, abs=1e-4)  # Newcombe 1998, table I
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(20, 20)[1] == 1 and wilson(0, 0) == (0, 1)


def test_intervals_hold_the_truth_about_19_times_in_20() -> None:
    """Of 100 sets of texts; the truth is that of 100,000 texts."""
    truth, _ = class_scores(*drawn(2, 100_000, seed=1))
    held = dict.fromkeys(truth, 0)
    for seed in range(100):
        for name, score in class_scores(*drawn(2, 100, seed=2 + seed))[0].items():
            held[name] += score.low <= truth[name].value <= score.high
    assert all(86 <= count <= 100 for count in held.values()), held


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    logits = np.tile([1.0, 0.0], (10, 1))
    scores, _ = class_scores(logits, np.arange(10) % 2)
    assert scores["precision"].value == scores["recall"].value == scores["f1"].value == 0
    assert scores["auroc"].value == 0.5 and scores["accuracy"].value == 0.5
