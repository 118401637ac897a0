"""What is left by template and export: a compiled architecture, and an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelferry.core.contract import Contract
from modelferry.core.model import Environment, Exactness
from modelferry.records import ArtifactFacts, FileFacts, Record


class Template(Record):
    """`results/templates/<architecture>/<format>/template.json`: an architecture compiled, weights left blank."""

    architecture: str
    family: str
    hyperparameters: Mapping[str, Any]
    format: str
    layout: str
    options: Mapping[str, Any]
    transforms: tuple[str, ...]
    contract: Contract
    file: ArtifactFacts
    seconds: float
    environment: Environment


class Manifest(Record):
    """`manifest.json` beside an artifact: what it is, and how it was made."""

    model: str
    campaign: str
    family: str
    axes: Mapping[str, str | int | float]
    hyperparameters: Mapping[str, Any]
    architecture: str
    parameters: int
    export: str
    format: str
    layout: str
    options: Mapping[str, Any]
    exactness: Exactness
    transforms: tuple[str, ...] = ()
    artifact: ArtifactFacts
    checkpoint: FileFacts
    demo: bool
    template_sha256: str
    contract: Contract
    seconds: float
    environment: Environment
