"""What a user should know of a network before shipping it, however faithful its artifact is."""

from __future__ import annotations

import numpy as np
import pytest

from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.families.probes import MIXED, REAL, Probe
from modelferry.records.validation import PropertyResult
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.warnings import network_warnings, real_events

EVENTS = 40
CONTRACT = Contract(
    layout="table",
    inputs=(Tensor(name="x", dtype="float32", shape=("events", 2)),),
    outputs=(Tensor(name="logits", dtype="float32", shape=("events", 3)),),
    dimensions=(Dimension(name="events", minimum=1, typical=8, maximum=64),),
    classes=("signal", "ttZ", "diboson"),
)
VARIED = np.random.default_rng(0).normal(size=(EVENTS, 3))
CLASSES = np.arange(EVENTS) % 3


def warnings(
    outputs: np.ndarray = VARIED, label: str = REAL, classes: np.ndarray = CLASSES, scores: str = "softmax"
) -> tuple[str, ...]:
    events: tuple[Arrays, ...] = tuple({"x": row} for row in np.zeros((EVENTS, 2), np.float32))
    probes = (Probe(label, "", events),)
    float32, float64 = {"logits": outputs.astype(np.float32)}, {"logits": outputs}
    recording = Recording(probes, float32, float64, classes, np.ones(EVENTS), "")
    return network_warnings(recording, CONTRACT.model_copy(update={"scores": scores}))


def test_nothing_to_warn_of() -> None:
    assert warnings() == ()


def test_outputs_that_do_not_depend_on_the_events() -> None:
    assert warnings(np.tile(VARIED[:1], (EVENTS, 1))) == ("constant outputs: logits hardly depends on the events",)
    slightly, more = (warnings(VARIED[:1] * (1 + change * VARIED)) for change in (1e-7, 1e-3))
    assert "constant outputs" in slightly[0]
    assert not any("constant" in line for line in more)


def test_one_class_for_all_events() -> None:
    assert warnings(VARIED + np.array([0, 20, 0])) == ("all 40 ordinary events are decided for one class, ttZ",)


def test_no_real_events() -> None:
    assert warnings(label=MIXED) == ("no real events: all events are synthetic; name some with `events:`",)
    probes = tuple(Probe(label, "", ({"x": np.zeros(2, np.float32)},) * 2) for label in (REAL, MIXED))
    outputs = {"logits": VARIED[:4]}
    recording = Recording(probes, outputs, outputs, CLASSES[:4], np.ones(4), "")
    assert real_events(recording) == len(np.unique(recording.distinct[:2]))


def test_labelled_classes_that_are_missing() -> None:
    assert warnings(classes=np.minimum(CLASSES, 1)) == ("no labelled events of diboson",)
    assert warnings(classes=np.full(EVENTS, -1)) == ()


def test_scores_that_look_like_logits() -> None:
    (line,) = warnings(scores="nothing")
    assert "'logits' is declared as scores and looks like logits, from -" in line
    assert warnings(1 / (1 + np.exp(-VARIED)), scores="nothing") == ()


@pytest.mark.parametrize("outcome", ["violated by the network as trained", "holds", "violated by the artifact"])
def test_dependence_on_batch_mates_is_the_networks_own(outcome: str) -> None:
    result = PropertyResult(name="independent of batch mates", outcome=outcome, trained_change=1.0, artifact_change=1.0)
    events = tuple({"x": row} for row in np.zeros((EVENTS, 2), np.float32))
    recording = Recording(
        (Probe(REAL, "", events),), {"logits": VARIED}, {"logits": VARIED}, CLASSES, np.ones(EVENTS), ""
    )
    found = network_warnings(recording, CONTRACT, [result])
    own = outcome == "violated by the network as trained"
    assert found == (("the network as trained is not independent of batch mates",) if own else ())
