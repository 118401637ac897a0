"""Scores of outputs, and how well they separate classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from modelferry.core.contract import SCORES_OUTPUT, Arrays, Contract, Scored, Scores
from modelferry.core.nested_outputs import flat

if TYPE_CHECKING:
    import torch


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


def inside(by: Scores, values: torch.Tensor) -> torch.Tensor:
    """Return scores of an output, (events, classes), in its own precision, as networks compute them."""
    import torch

    return torch.softmax(values, dim=1) if by == "softmax" else torch.sigmoid(values)


def give_scores(network: torch.nn.Module, by: Scores) -> torch.nn.Module:
    """Let `network` itself make scores of its first output, by a hook, and return it."""

    def scores_first(_: object, __: object, outputs: object) -> torch.Tensor | tuple[torch.Tensor, ...]:
        first, *others = flat(outputs)
        return (inside(by, first), *others) if others else inside(by, first)

    network.register_forward_hook(scores_first)
    return network


def as_given(outputs: Arrays, scored: Scored | None) -> Arrays:
    """Return the outputs of a network, one row an event, as an artifact gives them that may make scores of one."""
    if scored is None:
        return outputs
    import torch

    scores = inside(scored.by, torch.from_numpy(outputs[scored.output])).numpy()
    return {SCORES_OUTPUT: scores, **{name: values for name, values in outputs.items() if name != scored.output}}


def decided(scores: np.ndarray) -> np.ndarray:
    """Return the class that each event is decided for, (events,)."""
    return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > THRESHOLD).astype(np.int64)
