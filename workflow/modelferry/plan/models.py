"""A model with all that can be known of it before anything runs, and what its jobs read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from modelferry.config.models import Model
from modelferry.config.sections import Export
from modelferry.core import paths
from modelferry.core.errors import CheckpointError, ConfigError, EventFileError, one_line
from modelferry.core.reading import regular_file
from modelferry.core.tolerances import Tolerance
from modelferry.demo import demo_for
from modelferry.families import Family, load_family
from modelferry.families.hyperparameters import read_hyperparameters
from modelferry.formats import load_format
from modelferry.plan.embeddings import EmbeddingPlan
from modelferry.plan.stages import EXPORT, Stage
from modelferry.plan.templates import TemplateSpec, architecture_digest, template_spec
from modelferry.runtimes import runtime_of, runtimes_of

ODD = re.compile(r"[{}\x00-\x1f\ud800-\udfff]")
"""Signs that Snakemake reads as something else than part of a path, and bytes that are no UTF-8."""


@dataclass(frozen=True)
class PlannedModel:
    """A model with all that can be known before anything runs."""

    model: Model
    hyperparameters: dict[str, Any]
    architecture: str
    problem: str = ""
    """Why nothing can be made of the model, with the remedy; empty if something can."""

    @property
    def id(self) -> str:
        """The model's id."""
        return self.model.id

    @property
    def family(self) -> Family:
        """The model's family, as its hyperparameters make it."""
        return load_family(self.model.family).configured(self.hyperparameters)

    @property
    def exports(self) -> tuple[Export, ...]:
        """The exports that this machine can make."""
        return tuple(export for export in self.model.exports if not unavailable(export.format))

    def template(self, export: str) -> TemplateSpec:
        """Return the template that an export of this model fills."""
        return template_spec(self.model.family, self.hyperparameters, self.model.export(export))

    def artifact(self, export: str) -> str:
        """Return the path of the main file of an artifact of this model."""
        return paths.artifact(self.id, export, load_format(self.model.export(export).format).extension)

    def artifact_files(self, export: str) -> list[str]:
        """Return the paths of all files of an artifact of this model, the main one first."""
        target = load_format(self.model.export(export).format)
        return list(map(str, target.files(Path(self.artifact(export)))))

    def demo_event_files(self) -> list[str]:
        """Return the toy events that a demo model is trained on."""
        demo = demo_for(self.model.family)
        if demo is None:
            raise ConfigError(f"family '{self.model.family}' has no demo", "give a checkpoint path")
        folder = paths.demo_events(self.model.family)
        return [f"{folder}/{group}/{member}" for group in demo.groups(self.model.axes) for member in demo.members]

    def check(self) -> None:
        """Raise `CheckpointError` if nothing can be made of the model."""
        if self.problem:
            raise CheckpointError(f"{self.id}: {self.problem}")

    def outcome(self, stage: Stage) -> str:
        """Return the path of what a stage leaves of the model."""
        return paths.outcome(self.id, stage.rule)

    def export_inputs(self) -> list[str]:
        """Return what the exports read."""
        return [self.model.checkpoint, *dict.fromkeys(self.template(export.name).outcome for export in self.exports)]

    def validate_inputs(self) -> list[str]:
        """Return what the validations read: artifacts, weights, events, and what executes artifacts."""
        events = self.demo_event_files() if self.model.demo else self.model.events
        return [self.model.checkpoint, *events, self.outcome(EXPORT), *dict.fromkeys(self._runtime_files())]

    def benchmark_inputs(self) -> list[str]:
        """Return what a benchmark reads."""
        return [self.model.checkpoint, self.outcome(EXPORT), *dict.fromkeys(self._runtime_files())]

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes of all exports that this machine has."""
        return tuple(sorted({runtime for export in self.exports for runtime in runtimes_of(export.format)}))

    def _runtime_files(self) -> Iterator[str]:
        for export in self.exports:
            for runtime in runtimes_of(export.format):
                yield from runtime_of(export.format, runtime).files()

    @property
    def embedding(self) -> EmbeddingPlan:
        """What is embedded of this model's events; raise `ConfigError` if nothing is."""
        return EmbeddingPlan.of(self.model, self.hyperparameters)

    def tolerance(self, export: str) -> Tolerance:
        """Return what the outputs of an export may differ by."""
        chosen, family = self.model.export(export), self.family
        contract = family.contract(self.hyperparameters, family.layout(chosen.layout))
        return self.model.validation.tolerance(chosen.format, contract.outputs[0].dtype)

    def embed_inputs(self, part: str) -> list[str]:
        """Return what the embedding of one file of events reads: the file, and the artifact."""
        return [self.embedding.files[part], self.outcome(EXPORT)]


@cache
def unavailable(format_name: str) -> str:
    """Return what this machine lacks for a format, and the remedy; empty if nothing."""
    return load_format(format_name).unavailable()


def plan_model(model: Model) -> PlannedModel:
    """Return the model with its hyperparameters, read off its checkpoint as far as that tells them.

    A demo checkpoint may not exist yet, and it has what the config says. A checkpoint that cannot be read counts as
    one that tells nothing: the export will say what is wrong with it, and fail for this model only. So does any error
    that the config alone does not make: it is the model's `problem`, and stops no other.
    """
    told: dict[str, Any] = {}
    problem = model.missing
    try:
        _check_files(model)
        if model.checkpoint and not model.demo:
            with suppress(CheckpointError):
                told = read_hyperparameters(load_family(model.family), model.checkpoint)
        return _planned(model, told, problem)
    except Exception as error:  # whatever a foreign file, or a family of the user's own, comes up with
        problem = one_line(error)
        try:
            return _planned(model, {}, problem)
        except ConfigError as mistake:
            raise ConfigError(f"{model.id}: {mistake}") from None
        except Exception:  # not even without what the checkpoint tells
            return PlannedModel(model, dict(model.hyperparameters), "", problem)


def _planned(model: Model, told: Mapping[str, Any], problem: str) -> PlannedModel:
    """Return a model of which a checkpoint tells so much, once all templates that it needs can be named."""
    hyperparameters = load_family(model.family).resolve(model.hyperparameters, told)
    planned = PlannedModel(model, hyperparameters, architecture_digest(model.family, hyperparameters), problem)
    for export in planned.exports:
        planned.template(export.name)
    return planned


def _check_files(model: Model) -> None:
    """Raise `ModelferryError` for a file that nobody should open: Snakemake would read all of it to the end."""
    for file in (model.checkpoint, *model.events, *model.embed_files):
        if odd := ODD.search(file):
            raise ConfigError(f"{file!r}: Snakemake takes no file with {odd[0]!r} in its path", "rename it")
    if model.checkpoint and not model.demo:
        regular_file(model.checkpoint, CheckpointError, "put it there or fix the pattern in the config", model.largest)
    for file in (*model.events, *model.embed_files):
        if os.path.lexists(file):
            regular_file(file, EventFileError)
