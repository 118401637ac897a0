"""The truth: the network as trained, in float64 and float32, on all probes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry import paths
from modelferry.checkpoints import fit, load_state_dict
from modelferry.contract import Arrays, Contract
from modelferry.demo import demo_for
from modelferry.digests import sha256_of_file
from modelferry.errors import CheckpointError
from modelferry.events import EventSet
from modelferry.families import Family, load_family
from modelferry.validation.probes import Probe, make_probes
from modelferry.validation.recording import Recording

if TYPE_CHECKING:
    from modelferry.plan import PlannedModel

SHAKEN = 4
"""So many times the float32 reference is evaluated on shaken inputs, to find the events that are near a tie."""
NOISE = 1e-6
"""Relative size of the shaking: some units in the last place, as much as another order of sums makes."""
DEMO_SOURCE = "test fold of the demo"


def record_reference(planned: PlannedModel) -> Recording:
    """Evaluate the reference of a model on all probes."""
    torch.set_num_threads(1)
    model = planned.model
    if model.missing:
        raise CheckpointError(f"{model.id}: {model.missing}")
    family = load_family(model.family)
    contract = family.contract(planned.hyperparameters, family.reference_layout)
    real = real_events(planned, family)
    known = real or EventSet([], np.empty(0, np.int64), np.empty(0), "")
    settings = model.validation
    probes = make_probes(family, contract, settings.events, settings.seed, known.events, known.source)
    network = load_reference(planned, family)
    shaken = [evaluate(network, family, contract, probes, noise=seed) for seed in range(1, SHAKEN + 1)]
    return Recording(
        probes=tuple(probes),
        float32=evaluate(network, family, contract, probes),
        shaken={tensor.name: np.stack([outputs[tensor.name] for outputs in shaken]) for tensor in contract.outputs},
        float64=evaluate(family.double(load_reference(planned, family)), family, contract, probes, torch.float64),
        **_labels(probes, known),
        checkpoint_sha256=sha256_of_file(model.checkpoint),
    )


def load_reference(planned: PlannedModel, family: Family) -> torch.nn.Module:
    """Return the network as trained, with its weights, in evaluation mode and float32."""
    network = family.reference(planned.hyperparameters)
    path = planned.model.checkpoint
    network.load_state_dict(fit(family.own_names(load_state_dict(path), path), network, path))
    return network.eval()


def real_events(planned: PlannedModel, family: Family) -> EventSet | None:
    """Return the events that the config names, or the labelled test fold of a demo model, if there are any."""
    model = planned.model
    if model.events:
        return family.read_events(
            [Path(path) for path in model.events], planned.hyperparameters, model.validation.events
        )
    demo = demo_for(model.family) if model.demo else None
    if demo is None:
        return None
    unseen = demo.test_events(model.axes, Path(paths.demo_events(model.family)))
    order = np.random.default_rng(model.validation.seed).permutation(len(unseen))
    return replace(unseen.take(order), source=DEMO_SOURCE)


def evaluate(
    network: torch.nn.Module,
    family: Family,
    contract: Contract,
    probes: Iterable[Probe],
    dtype: torch.dtype = torch.float32,
    noise: int = 0,
) -> Arrays:
    """Return the outputs of an eager network on all probes by name, one row an event.

    With `noise`, a seed, all real inputs are changed by some units in the last place of float32.
    """
    generator = torch.Generator().manual_seed(noise)
    rows: list[tuple[torch.Tensor, ...]] = []
    for probe in probes:
        inputs = family.collate(probe.events, contract.layout)
        tensors = [torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs]
        if noise:
            tensors = [_shaken(tensor, generator) for tensor in tensors]
        with torch.inference_mode():
            result = network(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
        rows.append(result if isinstance(result, tuple) else (result,))
    columns = zip(*rows, strict=True)
    return {tensor.name: torch.cat(column).numpy() for tensor, column in zip(contract.outputs, columns, strict=True)}


def _shaken(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor * (1 + NOISE * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))


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
