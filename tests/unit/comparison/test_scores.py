"""Scores of outputs, and the areas under ROC curves that they give."""

from __future__ import annotations

import numpy as np
import pytest

from modelferry.comparison.difference import Outputs
from modelferry.comparison.scores import area_under_curve, scores_of
from modelferry.core.contract import Contract
from modelferry.stages.validation.decisions import class_pairs


def contract(scores: str, classes: tuple[str, ...] = ()) -> Contract:
    return Contract(layout="", inputs=(), outputs=(), dimensions=(), scores=scores, classes=classes)


def test_scores_are_what_the_contract_says() -> None:
    logits = np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32)
    assert scores_of(contract("softmax"), logits).tolist() == [[1, 0], [0.5, 0.5]]
    assert scores_of(contract("sigmoid"), np.zeros((1, 1))).tolist() == [[0.5]]
    assert scores_of(contract("nothing"), logits).tolist() == logits.tolist()


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_scores_of_large_logits_do_not_overflow(kind: str) -> None:
    with np.errstate(all="raise", under="ignore"):
        scores = scores_of(contract(kind), np.array([[-800.0, 800.0]], np.float32))
    assert scores.tolist() == [[0, 1]]


def test_event_whose_two_scores_are_both_zero_is_undecided() -> None:
    """Of four pairs three are in the right order; 0/0 sorted above everything and made it four."""
    scores = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]])
    outputs = Outputs(scores, scores, scores)
    (pair,) = class_pairs(contract("nothing", ("a", "b", "c")), outputs, np.array([0, 0, 1, 1]))
    assert (pair.trained_auc, pair.artifact_auc) == (0.75, 0.75)


def test_scores_that_are_nan_separate_nothing() -> None:
    good, none = np.array([0.8, 0.9]), np.array([np.nan, np.nan])
    assert area_under_curve(none, good) == area_under_curve(good, none) == area_under_curve(none, none) == 0
    assert area_under_curve(np.array([0.9, np.nan]), np.array([0.1, 0.2])) == 0.5
