"""Templates to be compiled: an architecture, a format, and all that makes another file of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from modelferry.config.sections import Export
from modelferry.core import paths
from modelferry.core.digests import canonical_json, digest_of
from modelferry.core.environment import installed
from modelferry.core.model import Exactness
from modelferry.families import load_family
from modelferry.families.transforms import APPROXIMATIONS, NONE, resolve_approximations, resolve_transforms
from modelferry.formats import load_format
from modelferry.plan.stages import TEMPLATE


@dataclass(frozen=True)
class TemplateSpec:
    """An architecture to be compiled to a format, once.

    `architecture` identifies family and hyperparameters; `variant` distinguishes formats, layouts, options, and the
    versions and instruction sets that they are compiled for. `transforms` holds exact rewrites and approximations.
    """

    architecture: str
    variant: str
    family: str
    hyperparameters: dict[str, Any]
    format: str
    layout: str
    options: dict[str, Any]
    transforms: frozenset[str]

    @property
    def exactness(self) -> Exactness:
        """Whether what is made of it computes the trained function."""
        approximates = self.transforms & APPROXIMATIONS.keys()
        return "approximation" if approximates else load_format(self.format).exactness

    @property
    def folder(self) -> str:
        """The folder that holds the template."""
        return f"{paths.TEMPLATES}/{self.key}"

    @property
    def files(self) -> list[str]:
        """The files of the compiled template, the main one first."""
        return load_format(self.format).named(f"{self.folder}/template")

    @property
    def key(self) -> str:
        """Its name: ``architecture/variant``."""
        return f"{self.architecture}/{self.variant}"

    @property
    def outcome(self) -> str:
        """What the job that builds it leaves."""
        return paths.outcome(f"templates/{self.key}", TEMPLATE.rule)

    @property
    def certifiable(self) -> bool:
        """Whether what was proven of one artifact holds for all: only the weights differ, and can be read back."""
        target = load_format(self.format)
        return target.keeps_weights and target.reproducible and self.exactness == "exact"

    @property
    def file(self) -> str:
        """The main file."""
        return self.files[0]

    @property
    def record(self) -> str:
        """The record beside it."""
        return f"{self.folder}/template.json"


def template_spec(family_name: str, hyperparameters: dict[str, Any], export: Export) -> TemplateSpec:
    """Return the template of a family with these hyperparameters for an export."""
    return _template_spec(family_name, canonical_json(hyperparameters), export.model_dump_json())


@cache
def _template_spec(family_name: str, hyperparameters_json: str, export_json: str) -> TemplateSpec:
    """Return the same object for the same words: hundreds of models share a few templates."""
    hyperparameters, export = json.loads(hyperparameters_json), Export.model_validate_json(export_json)
    family, target = load_family(family_name).configured(hyperparameters), load_format(export.format)
    layout, options = family.layout(export.layout), target.resolve_options(export.options)
    wanted = {} if isinstance(export.transforms, str) else export.transforms
    transforms = NONE if export.transforms == "none" else resolve_transforms(wanted, family.transforms(layout))
    transforms |= resolve_approximations(export.approximate, family.approximations(layout))
    contract = target.contract(family.contract(hyperparameters, layout)).model_dump(mode="json")
    made_by = [installed(target.packages), target.built_for(options)]
    variant = digest_of([layout, options, sorted(transforms), contract, made_by], 8)
    return TemplateSpec(
        architecture=architecture_digest(family_name, hyperparameters),
        variant=f"{target.name}-{variant}",
        family=family_name,
        hyperparameters=hyperparameters,
        format=export.format,
        layout=layout,
        options=options,
        transforms=transforms,
    )


def architecture_digest(family: str, hyperparameters: dict[str, Any]) -> str:
    """Return the identity of everything of a deployable except its weights."""
    return digest_of([family, hyperparameters], 12)
