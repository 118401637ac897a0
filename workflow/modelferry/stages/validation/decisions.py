"""Decisions: what the differences of an artifact do to classes, scores and ROC curves."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from modelferry.comparison.difference import Outputs
from modelferry.comparison.scores import area_under_curve, decided, scores_of
from modelferry.core.contract import Contract
from modelferry.core.events import UNKNOWN
from modelferry.records.validation import ClassPair, Decisions


def decide(contract: Contract, outputs: Outputs, classes: np.ndarray, distinct: np.ndarray) -> Decisions:
    """Compare what the artifact and the float32 reference make of all events.

    Parameters
    ----------
    classes
        Class of each event, (events,); `UNKNOWN` where there is none.
    distinct
        A number for each event, (events,); one that flips in several calls counts once.
    """
    labelled, flipped, shift = classes != UNKNOWN, flips(contract, outputs), score_shift(contract, outputs)
    pairs = class_pairs(contract, outputs, classes)
    return Decisions(
        argmax_flips=len(np.unique(distinct[flipped])),
        max_score_shift=float(shift.max(initial=0)),
        labelled_events=int(labelled.sum()),
        labelled_argmax_flips=int((flipped & labelled).sum()),
        labelled_max_score_shift=float(shift[labelled].max(initial=0)),
        delta_auc=max((abs(pair.artifact_auc - pair.trained_auc) for pair in pairs), default=None),
        class_pairs=pairs,
    )


def flips(contract: Contract, outputs: Outputs) -> np.ndarray:
    """Return which events the artifact decides otherwise than the float32 reference, (events,)."""
    changed: np.ndarray = decided(scores_of(contract, outputs.artifact)) != decided(
        scores_of(contract, outputs.float32)
    )
    return changed


def score_shift(contract: Contract, outputs: Outputs) -> np.ndarray:
    """Return by how much the score of each event shifts, at most, (events,); infinite where it is not finite."""
    shift = np.abs(scores_of(contract, outputs.artifact) - scores_of(contract, outputs.float32))
    return np.nan_to_num(shift, nan=np.inf).max(axis=1, initial=0)


def class_pairs(contract: Contract, outputs: Outputs, classes: np.ndarray) -> tuple[ClassPair, ...]:
    """Return the area under the ROC curve of each pair of classes among the labelled events, before and after.

    Parameters
    ----------
    classes
        Class of each event, (events,); `UNKNOWN` where there is none.
    """
    present = sorted(set(classes.tolist()) - {UNKNOWN})
    before, after = scores_of(contract, outputs.float32), scores_of(contract, outputs.artifact)
    names = dict(enumerate(contract.classes))
    return tuple(
        ClassPair(
            classes=(names.get(first, str(first)), names.get(second, str(second))),
            trained_auc=_auc(before, classes, first, second),
            artifact_auc=_auc(after, classes, first, second),
        )
        for first, second in combinations(present, 2)
    )


def _auc(scores: np.ndarray, classes: np.ndarray, first: int, second: int) -> float:
    """Return how well the share of the first class, among the two, separates them; a single score is the second's.

    An event with neither score is undecided: its share is one half.
    """
    chosen = np.isin(classes, (first, second))
    mine = classes[chosen] == first
    if scores.shape[1] == 1:
        share = 1 - scores[chosen, 0]
    else:
        one, other = scores[chosen, first], scores[chosen, second]
        share = np.divide(one, one + other, out=np.full(len(one), 0.5), where=(one != 0) | (other != 0))
    return area_under_curve(share[mine], share[~mine])
