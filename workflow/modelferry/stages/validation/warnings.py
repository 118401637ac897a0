"""What is wrong with a network, or with the events that it was tried on, however faithful its artifact may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from modelferry.comparison.scores import decided, scores_of
from modelferry.core.contract import Contract
from modelferry.core.errors import first_few
from modelferry.core.events import UNKNOWN
from modelferry.families.probes import MIXED, REAL
from modelferry.records.validation import PropertyResult
from modelferry.stages.validation.recording import Recording

VARIES = 1e-5
"""Outputs that vary by a smaller share of their size over all events are called constant."""


def real_events(recording: Recording) -> int:
    """Return how many events are no synthetic ones."""
    return len(np.unique(recording.distinct[recording.labels == REAL]))


def network_warnings(
    recording: Recording, contract: Contract, properties: Sequence[PropertyResult] = ()
) -> tuple[str, ...]:
    """Return a line for each thing that a user should know before shipping any artifact of a model.

    Parameters
    ----------
    contract
        Of the artifact: its first output holds the scores, or what they are made of.
    properties
        Measured on the network as trained, and on the artifact.
    """
    trained = [result.name for result in properties if result.outcome == "violated by the network as trained"]
    return (
        *(f"the network as trained is not {name}" for name in trained),
        *_of_outputs(recording, contract),
        *_of_events(recording, contract),
    )


def _of_outputs(recording: Recording, contract: Contract) -> Iterator[str]:
    ordinary = np.isin(recording.labels, [REAL, MIXED])
    first, *_ = contract.outputs
    constant = [tensor.name for tensor in contract.outputs if _constant(recording.float64[tensor.name][ordinary])]
    if constant:
        yield f"constant outputs: {first_few(constant)} hardly depends on the events"
    outputs = recording.float32[first.name][ordinary]
    if not len(outputs) or not np.isfinite(outputs).all():
        return
    chosen = np.unique(decided(scores_of(contract, outputs)))
    if len(contract.classes) > 1 and len(chosen) == 1 and not constant:
        names = dict(enumerate(contract.classes))
        yield f"all {len(outputs)} ordinary events are decided for one class, {names.get(int(chosen[0]), chosen[0])}"
    if contract.classes and contract.scores == "nothing" and (outputs.min() < 0 or outputs.max() > 1):
        yield (
            f"'{first.name}' is declared as scores and looks like logits, from {outputs.min():.2g} to "
            f"{outputs.max():.2g}; if they are, declare `scores: softmax` or `sigmoid`"
        )


def _constant(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values).all(axis=1)]
    return len(finite) > 1 and bool(np.ptp(finite, axis=0).max() <= VARIES * np.abs(finite).max())


def _of_events(recording: Recording, contract: Contract) -> Iterator[str]:
    if not real_events(recording):
        yield "no real events: all events are synthetic; name some with `events:`"
    labelled = set(recording.classes.tolist()) - {UNKNOWN}
    missing = [name for label, name in enumerate(contract.classes) if label not in labelled]
    if labelled and missing:
        yield f"no labelled events of {first_few(missing)}"
