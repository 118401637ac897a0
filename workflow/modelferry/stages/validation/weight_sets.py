"""Random weights of an architecture, very different ones, and what its reference makes of probes with each of them.

What is proven of a template filled with these is a property of the template, not of some trained weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelferry.core import paths
from modelferry.core.files import replacing
from modelferry.stages.validation.reference import record_reference

if TYPE_CHECKING:
    from modelferry.families import StateDict
    from modelferry.plan.models import PlannedModel

SPREADS = (0.0, 0.1, 0.3)
"""A set of weights for each: those that training would start with, each multiplied by exp(spread × normal number)."""
EVENTS = 200
"""Ordinary events for each set of weights, beside those at every size."""
CHECKPOINT = "weights.pt"


def draw_weight_sets(planned: PlannedModel) -> Iterator[Path]:
    """Write all sets of weights for the architecture of a model, and what was recorded of each; yield the files."""
    for number, stand_in in enumerate(stand_ins(planned)):
        checkpoint = Path(stand_in.model.checkpoint)
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with replacing(checkpoint) as temporary:
            torch.save(_random_weights(planned, number), temporary)
        yield checkpoint
        recording = Path(paths.reference(stand_in.id))
        record_reference(stand_in).write(recording)
        yield recording


def stand_ins(planned: PlannedModel) -> list[PlannedModel]:
    """Return models like another, but with random weights, without events, and judged by the usual tolerances."""
    return [_stand_in(planned, number) for number in range(len(SPREADS))]


def _stand_in(planned: PlannedModel, number: int) -> PlannedModel:
    name = paths.weight_set(planned.architecture, number)
    model = dataclasses.replace(
        planned.model,
        id=name,
        checkpoint=f"{paths.RESULTS}/{name}/{CHECKPOINT}",
        missing="",
        demo=False,
        events=(),
        validation=planned.model.validation.model_copy(
            update={"events": EVENTS, "seed": number + 1, "rtol": None, "atol": None, "tolerances": {}}
        ),
    )
    return dataclasses.replace(planned, model=model)


def _random_weights(planned: PlannedModel, number: int) -> StateDict:
    """Return weights under the reference's names: variances stay positive, and no tensor is all zeros."""
    torch.manual_seed(number)
    generator = torch.Generator().manual_seed(number)
    weights = {}
    for name, tensor in planned.family.reference(planned.hyperparameters).state_dict().items():
        if tensor.is_floating_point() and SPREADS[number]:
            normal = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            moved = tensor * torch.exp(SPREADS[number] * normal) if tensor.any() else SPREADS[number] * normal
            tensor = moved.to(tensor.dtype)
        weights[name] = tensor
    return weights
