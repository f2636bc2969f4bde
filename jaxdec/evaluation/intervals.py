"""Scores of a classifier by scikit-learn, each with a 95 % interval.

Accuracy, and for two classes precision and recall, are shares: Wilson's interval (Wilson 1927), which stays within 0
and 1 and is right for few texts. F1, and macro averages, are functions of the confusion matrix: percentiles over 2,000
matrices drawn anew from it, which is the bootstrap (Efron 1979). The area under the ROC curve: DeLong, DeLong and
Clarke-Pearson 1988, for several classes on the average of one class against the rest. The loss: the mean and its
standard error. All say how much another set of as many texts may differ, not another training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Z = 1.959964  # of the normal law: 95 % lie within so many standard deviations
DRAWS = 2000


class Score(NamedTuple):
    value: float
    low: float
    high: float


def class_scores(logits_NC: np.ndarray, labels_N: np.ndarray) -> tuple[dict[str, Score], np.ndarray]:
    """loss, accuracy, precision, recall, f1 and auroc of N texts, and their confusion matrix, int64 [C,C]: rows are
    the true classes, columns the predicted ones.

    For two classes precision, recall, F1 and the area are those of the second class; for more the plain average over
    classes (macro), and the area that of each class against the rest. A class that was never predicted has a precision
    of 0. Every class must occur in `labels_N`.
    """
    from sklearn import metrics

    classes = logits_NC.shape[1]
    log_p_NC = logits_NC - np.logaddexp.reduce(logits_NC, axis=1, keepdims=True)
    predicted_N, names = logits_NC.argmax(axis=1), list(range(classes))
    matrix = metrics.confusion_matrix(labels_N, predicted_N, labels=names)
    average = "binary" if classes == 2 else "macro"
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels_N,
        predicted_N,
        labels=names,
        average=average,
        zero_division=0,  # type: ignore[arg-type]
    )
    p_NC = np.exp(log_p_NC)
    area = metrics.roc_auc_score(labels_N, p_NC[:, 1] if classes == 2 else p_NC, multi_class="ovr", average="macro")
    losses_N = -log_p_NC[np.arange(len(labels_N)), labels_N]
    spread, drawn = losses_N.std(ddof=1) / len(labels_N) ** 0.5, percentiles(matrix)
    right, share = int(np.trace(matrix)), matrix.sum()
    found = {
        "loss": Score(losses_N.mean(), max(0.0, losses_N.mean() - Z * spread), losses_N.mean() + Z * spread),
        "accuracy": Score(metrics.accuracy_score(labels_N, predicted_N), *wilson(right, share)),
        "precision": Score(precision, *drawn["precision"]),
        "recall": Score(recall, *drawn["recall"]),
        "f1": Score(f1, *drawn["f1"]),
        "auroc": Score(area, *delong(p_NC, labels_N)),
    }
    if classes == 2:
        found["precision"] = Score(precision, *wilson(matrix[1, 1], matrix[:, 1].sum()))
        found["recall"] = Score(recall, *wilson(matrix[1, 1], matrix[1].sum()))
    return {name: Score(*map(float, score)) for name, score in found.items()}, matrix


def wilson(right: int, count: int) -> tuple[float, float]:
    """The interval of a share, `right` of `count`.

    >>> [round(bound, 4) for bound in wilson(285, 300)]
    [0.919, 0.9694]
    """
    if count == 0:
        return 0.0, 1.0
    share, extra = right / count, Z**2 / count
    middle = (share + extra / 2) / (1 + extra)
    half = Z / (1 + extra) * (share * (1 - share) / count + extra / (4 * count)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def percentiles(matrix_CC: np.ndarray) -> dict[str, tuple[float, float]]:
    """Intervals of what a confusion matrix gives, by drawing as many texts anew."""
    shares = matrix_CC.ravel() / matrix_CC.sum()
    drawn = np.random.default_rng(0).multinomial(matrix_CC.sum(), shares, DRAWS).reshape(DRAWS, *matrix_CC.shape)
    bounds = {}
    for name, values_NC in by_class(drawn).items():
        values_N = values_NC[:, 1] if matrix_CC.shape[0] == 2 else values_NC.mean(axis=1)
        low, high = np.percentile(values_N, [2.5, 97.5])
        bounds[name] = (float(low), float(high))
    return bounds


def by_class(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """precision, recall and f1 of each class, [..., C], of confusion matrices [..., C, C]; 0 where none counts."""
    right, said, true = np.diagonal(matrices, axis1=-2, axis2=-1), matrices.sum(axis=-2), matrices.sum(axis=-1)
    parts = {"precision": (right, said), "recall": (right, true), "f1": (2 * right, said + true)}
    return {name: above / np.maximum(below, 1) for name, (above, below) in parts.items()}


def delong(p_NC: np.ndarray, labels_N: np.ndarray) -> tuple[float, float]:
    """The interval of the area under the ROC curve, from each text's share in it."""
    from scipy.stats import rankdata

    classes = [1] if p_NC.shape[1] == 2 else range(p_NC.shape[1])
    areas, effect_N = [], np.zeros(len(labels_N))
    for name in classes:
        positive_N, scores_N = labels_N == name, p_NC[:, name]
        m, n = int(positive_N.sum()), int((~positive_N).sum())
        ranks_N, shares_N = rankdata(scores_N), np.empty(len(labels_N))
        shares_N[positive_N] = (ranks_N[positive_N] - rankdata(scores_N[positive_N])) / n
        shares_N[~positive_N] = 1 - (ranks_N[~positive_N] - rankdata(scores_N[~positive_N])) / m
        area = shares_N[positive_N].mean()
        scale_N = np.where(positive_N, (m * max(1, m - 1)) ** -0.5, (n * max(1, n - 1)) ** -0.5)
        areas.append(area)
        effect_N += (shares_N - area) * scale_N / len(classes)
    area, spread = float(np.mean(areas)), float(np.sqrt(np.sum(effect_N**2)))
    return max(0.0, area - Z * spread), min(1.0, area + Z * spread)
