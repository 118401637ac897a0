"""The truth: the network as trained, in float64 and float32, on all probes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry.comparison.calibration import EXAMINED
from modelferry.comparison.difference import Examination
from modelferry.comparison.outputs import within
from modelferry.core import paths
from modelferry.core.contract import Contract
from modelferry.core.digests import sha256_of_file
from modelferry.core.events import EventSet
from modelferry.core.tolerances import ANY, tolerance_of
from modelferry.demo import demo_for
from modelferry.families import Family
from modelferry.families.probes import (
    ALONE,
    MIXED,
    REAL,
    TOGETHER,
    Probe,
    evaluate,
    evaluate_repeatably,
    make_probes,
)
from modelferry.families.weights import load_reference
from modelferry.stages.validation.faulty_networks import record_faulty_networks
from modelferry.stages.validation.perturbation import Examiner
from modelferry.stages.validation.recording import Recording, ordinary

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel

LARGE = 64
"""Ordinary events come in calls of so many, where a network treats each alone."""
DEMO_SOURCE = "test fold of the demo"


def record_reference(planned: PlannedModel, thorough: bool = True) -> Recording:
    """Evaluate the reference of a model on all probes; unless `thorough`, on those that its weights decide."""
    torch.set_num_threads(1)
    model = planned.model
    planned.check()
    family = planned.family
    contract = family.contract(planned.hyperparameters, family.reference_layout)
    real = real_events(planned, family)
    known = real or EventSet([], np.empty(0, np.int64), np.empty(0), "")
    settings = model.validation
    layouts = dict.fromkeys(family.layout(export.layout) for export in planned.exports)
    others = [family.contract(planned.hyperparameters, layout) for layout in layouts if layout != contract.layout]
    probes = make_probes(family, contract, settings.events, settings.seed, known.events, known.source, others, thorough)
    network = load_reference(family, planned.hyperparameters, planned.model.checkpoint)
    double = family.double(load_reference(family, planned.hyperparameters, planned.model.checkpoint))
    calls, rows = fewer_calls(probes, min(LARGE, contract.dimension(family.batch).maximum))
    if not treats_events_alone(double, family, contract, probes):
        calls, rows = probes, np.arange(len(rows))
    float32, float64 = (
        {name: values[rows] for name, values in outputs.items()}
        for outputs in (
            evaluate_repeatably(network, family, contract, calls),
            evaluate(double, family, contract, calls, torch.float64),
        )
    )
    examiner = Examiner(family, contract, lambda: (network, double))
    return Recording(
        probes=tuple(probes),
        float32=float32,
        float64=float64,
        **_labels(probes, known),
        checkpoint_sha256=sha256_of_file(model.checkpoint),
        faulty=record_faulty_networks(
            family, planned.hyperparameters, contract, network.state_dict(), probes, thorough
        ),
        examined=examine_some(examiner, probes, contract.dimension(family.batch).typical),
        examine=examiner,
    )


def examine_some(examiner: Examiner, probes: Sequence[Probe], typical: int) -> dict[int, Mapping[str, Examination]]:
    """Examine the events of the first calls that controls look at, so that a validation rarely needs the reference."""
    ends = np.cumsum([len(probe.events) for probe in probes]).tolist()
    chosen: list[int] = []
    for index in ordinary(probes):
        if 1 < len(probes[index].events) <= typical and len(chosen) < EXAMINED:
            chosen += range(ends[index] - len(probes[index].events), ends[index])
    events = [event for probe in probes for event in probe.events]
    found = examiner([events[number] for number in chosen])
    return {number: {name: of.take([place]) for name, of in found.items()} for place, number in enumerate(chosen)}


def fewer_calls(probes: Sequence[Probe], large: int) -> tuple[list[Probe], np.ndarray]:
    """Return calls that hold each event of `probes`, and for each of these events its row in the calls.

    Events that a call repeats come once, and ordinary events in calls of `large`.
    """
    calls: list[Probe] = []
    rows: list[int] = []
    end = 0
    for probe in probes:
        once = {id(event): event for event in probe.events}
        places = {number: end + place for place, number in enumerate(once)}
        rows += [places[id(event)] for event in probe.events]
        end += len(once)
        joined = (*calls[-1].events, *once.values()) if calls else ()
        if probe.label in (MIXED, REAL) and calls and calls[-1].label == probe.label and len(joined) <= large:
            calls[-1] = replace(calls[-1], events=joined)
        else:
            calls.append(replace(probe, events=tuple(once.values())))
    return calls, np.array(rows)


def treats_events_alone(double: torch.nn.Module, family: Family, contract: Contract, probes: Sequence[Probe]) -> bool:
    """Return whether a reference gives the same for events in company and alone.

    One that normalises over its batch, say, does not: then each call is made as it is.
    """
    together, alone = (
        evaluate(double, family, contract, [probe for probe in probes if probe.label == label], torch.float64)
        for label in (TOGETHER, ALONE)
    )
    exact = tolerance_of(ANY, "float64")
    return all(within(values, alone[name], exact).all() for name, values in together.items())


def real_events(planned: PlannedModel, family: Family) -> EventSet | None:
    """Return the events that the config names, or the labelled test fold of a demo model, if there are any."""
    model = planned.model
    if model.events:
        files = [Path(path) for path in model.events]
        return family.read_events(files, planned.hyperparameters, model.validation.events, **model.event_options)
    demo = demo_for(model.family) if model.demo else None
    if demo is None:
        return None
    unseen = demo.test_events(model.axes, Path(paths.demo_events(model.family)))
    order = np.random.default_rng(model.validation.seed).permutation(len(unseen))
    return replace(unseen.take(order), source=DEMO_SOURCE)


def _labels(probes: Iterable[Probe], known: EventSet) -> dict[str, np.ndarray]:
    """Return class and weight of each probed event: real ones were taken in order, others have no class."""
    classes, weights, taken = [], [], 0
    for probe in probes:
        real = probe.source == known.source and len(known) > 0
        count = len(probe.events)
        classes.append(known.labels[taken : taken + count] if real else np.full(count, -1))
        weights.append(known.weights[taken : taken + count] if real else np.ones(count))
        taken += count if real else 0
    return {"classes": np.concatenate(classes), "weights": np.concatenate(weights)}
