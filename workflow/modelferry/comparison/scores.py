"""Scores of outputs, and how well they separate classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from modelferry.core.contract import Contract


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return class scores of logits, (events, classes), in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    scores: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return scores


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the area under the ROC curve of two sets of scores: the share of pairs in the right order, ties half.

    As scikit-learn's ``roc_auc_score``, whose import would take longer than the rest of a validation. A pair with a
    score that is NaN is in the wrong order.
    """
    positive, negative = (np.where(np.isnan(s), w, s) for s, w in ((positive, -np.inf), (negative, np.inf)))
    ordered = np.sort(negative)
    below, up_to = np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")
    return float((below + up_to).mean() / (2 * len(negative)))


THRESHOLD = 0.5
"""A single score above this decides for the class."""


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return scores of logits, in float64."""
    scores: np.ndarray = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    return scores


def plain(scores: np.ndarray) -> np.ndarray:
    """Return scores as they are, in float64."""
    return scores.astype(np.float64)


SCORES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"softmax": softmax, "sigmoid": sigmoid, "nothing": plain}
"""What makes scores of outputs, by the contract's word for it."""


def scores_of(contract: Contract, values: np.ndarray) -> np.ndarray:
    """Return the scores of the first output's values, (events, classes), in float64."""
    return SCORES[contract.scores](values)


def decided(scores: np.ndarray) -> np.ndarray:
    """Return the class that each event is decided for, (events,)."""
    return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > THRESHOLD).astype(np.int64)
