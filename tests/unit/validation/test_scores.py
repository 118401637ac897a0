"""Scores of logits and of probabilities."""

import numpy as np

from modelferry.contract import PROBABILITY, Contract, Tensor
from modelferry.validation.compare import Outputs, argmax_flips, softmax
from modelferry.validation.probes import Probe
from modelferry.validation.recording import Recording
from modelferry.validation.scores import class_scores
from modelferry.validation.stage import auc


def contract(unit: str, width: int) -> Contract:
    output = Tensor(name="out", dtype="float32", shape=("events", width), unit=unit)
    return Contract(layout="x", inputs=(), outputs=(output,), dimensions=())


def test_logits_become_scores_by_softmax() -> None:
    logits = np.array([[1.0, 2.0, -1.0]])
    assert np.array_equal(class_scores(logits, contract("", 3)), softmax(logits))


def test_a_probability_is_that_of_the_second_of_two_classes() -> None:
    found = class_scores(np.array([[0.25], [0.75]], np.float32), contract(PROBABILITY, 1))
    assert found.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_flips_and_auc_of_a_probability_are_about_its_threshold() -> None:
    unit = contract(PROBABILITY, 1)
    before, after = np.array([[0.4], [0.6], [0.9]]), np.array([[0.45], [0.49], [0.9]])
    assert argmax_flips(Outputs(*(class_scores(values, unit) for values in (before, before, after)))) == 1
    event = {"text": np.zeros(1, np.uint8)}
    recording = Recording(
        (Probe("x", "y", (event,) * 3),), {}, {}, {}, np.array([0, 1, 1]), np.ones(3), checkpoint_sha256=""
    )
    assert auc(recording, class_scores(before, unit)) == {"0/1": 1.0}
    assert auc(recording, class_scores(1 - before, unit)) == {"0/1": 0.0}
