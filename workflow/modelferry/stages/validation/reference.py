"""The truth: the network as trained, in float64 and float32, on all probes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry.core import paths
from modelferry.core.digests import sha256_of_file
from modelferry.core.events import EventSet
from modelferry.demo import demo_for
from modelferry.families import Family
from modelferry.families.probes import Probe, evaluate, evaluate_repeatably, make_probes
from modelferry.families.weights import load_reference
from modelferry.stages.validation.faulty_networks import record_faulty_networks
from modelferry.stages.validation.perturbation import evaluate_perturbed
from modelferry.stages.validation.recording import Recording

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel

DEMO_SOURCE = "test fold of the demo"


def record_reference(planned: PlannedModel) -> Recording:
    """Evaluate the reference of a model on all probes."""
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
    probes = make_probes(family, contract, settings.events, settings.seed, known.events, known.source, others)
    network = load_reference(family, planned.hyperparameters, planned.model.checkpoint)
    double = family.double(load_reference(family, planned.hyperparameters, planned.model.checkpoint))
    float32 = evaluate_repeatably(network, family, contract, probes)
    perturbed, perturbed_less = evaluate_perturbed(double, family, contract, probes, float32)
    return Recording(
        probes=tuple(probes),
        float32=float32,
        perturbed=perturbed,
        perturbed_less=perturbed_less,
        float64=evaluate(double, family, contract, probes, torch.float64),
        **_labels(probes, known),
        checkpoint_sha256=sha256_of_file(model.checkpoint),
        faulty=record_faulty_networks(family, planned.hyperparameters, contract, network.state_dict(), probes),
    )


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
