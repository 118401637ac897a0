"""What is timed: the artifacts of a model, and its eager reference. Imports no torch before a subject needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core import paths
from modelferry.core.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.formats import CheckedRunner, Runner, load_format
from modelferry.records.export import Manifest
from modelferry.runtimes import Runtime, load_in, load_runtime, runtime_of, runtimes_of

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel

EAGER = "eager"
SEED = 50


@dataclass(frozen=True)
class Subject:
    """An export of a model in a runtime, or the eager reference."""

    export: str
    runtime: str
    layout: str


def subjects_of(planned: PlannedModel, family: Family) -> Iterator[Subject]:
    """Yield the eager reference, then every export of the model in each of its runtimes."""
    yield Subject(EAGER, "pytorch", family.reference_layout)
    for export in planned.exports:
        for runtime in runtimes_of(export.format):
            yield Subject(export.name, runtime, family.layout(export.layout))


def is_there(planned: PlannedModel, subject: Subject) -> bool:
    """Return whether a subject can be timed: its export may have failed."""
    return subject.export == EAGER or Path(paths.manifest(planned.id, subject.export)).is_file()


def runtime_of_subject(planned: PlannedModel, subject: Subject) -> Runtime:
    """Return what executes a subject; the eager reference runs where PyTorch's own artifacts do."""
    if subject.export == EAGER:
        return load_runtime(subject.runtime)
    return runtime_of(planned.model.export(subject.export).format, subject.runtime)


class EagerReference(CheckedRunner):
    """The network as trained: it takes any size, beyond the contracts of artifacts as well."""

    def __call__(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        return self.function(inputs)


def prepare_subject(planned: PlannedModel, subject: Subject) -> None:
    """Do what is done once before an artifact is ever loaded, such as compiling it."""
    if subject.export != EAGER:
        load_format(planned.model.export(subject.export).format).prepare(Path(planned.artifact(subject.export)))


def load_subject(planned: PlannedModel, family: Family, subject: Subject, threads: int) -> Runner:
    """Load what is to be timed."""
    if subject.export == EAGER:
        return _load_eager(planned, family, threads)
    format_name = planned.model.export(subject.export).format
    return load_in(format_name, subject.runtime, Path(planned.artifact(subject.export)), threads)


def contract_of(planned: PlannedModel, subject: Subject) -> Contract:
    """Return what a subject takes and gives."""
    if subject.export == EAGER:
        return planned.family.contract(planned.hyperparameters, subject.layout)
    return Manifest.read(paths.manifest(planned.id, subject.export)).contract


def sample_inputs(planned: PlannedModel, subject: Subject) -> Arrays:
    """Return the inputs of a call on one event of typical size."""
    family = planned.family
    own = family.contract(planned.hyperparameters, family.reference_layout)
    return family.inputs_of(family.sample(family.call_sizes(own, 1), SEED), contract_of(planned, subject))


def _load_eager(planned: PlannedModel, family: Family, threads: int) -> Runner:
    import torch

    from modelferry.comparison.eager import call_eagerly
    from modelferry.families.weights import load_reference

    torch.set_num_threads(threads)
    network = load_reference(family, planned.hyperparameters, planned.model.checkpoint)
    contract = family.contract(planned.hyperparameters, family.reference_layout)
    names, outputs = ([tensor.name for tensor in tensors] for tensors in (contract.inputs, contract.outputs))

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            return call_eagerly(network, names, inputs, outputs=outputs)

    return EagerReference(contract, run)
