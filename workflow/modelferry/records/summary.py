"""The report for machines; others build on its names, so they stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from modelferry.core.model import Environment, Exactness, Part, Status
from modelferry.records import Record
from modelferry.records.benchmark import Timing
from modelferry.records.validation import OutsideCase, RuntimeVerdict, ShapePoint


class SummaryValidation(RuntimeVerdict):
    """A validation as the summary has it."""


class SummaryBenchmark(Timing):
    """One latency of an artifact, or of the eager reference; `load_average` is that of the machine meanwhile."""

    runtime: str
    load_average: float | None = None


class SummaryArtifact(Part):
    """One shipped file of a model."""

    format: str
    export: str
    layout: str
    path: str
    bytes: int
    sha256: str
    exactness: Exactness
    transforms: tuple[str, ...]
    validation: tuple[SummaryValidation, ...]
    benchmark: tuple[SummaryBenchmark, ...]


class SummaryCheckpoint(Part):
    """The trained weights of a model."""

    path: str
    sha256: str


class SummaryModel(Part):
    """One model, whatever became of it."""

    id: str
    campaign: str
    family: str
    axes: Mapping[str, str | int | float]
    status: Literal["passed", "failed", "missing"]
    reason: str
    demo: bool
    checkpoint: SummaryCheckpoint
    architecture: str
    parameters: int | None
    hyperparameters: Mapping[str, Any]
    training_auc: Mapping[str, float]
    training_accuracy: float | None = None
    baseline: tuple[SummaryBenchmark, ...]
    artifacts: tuple[SummaryArtifact, ...]
    warnings: tuple[str, ...] = ()
    """What to know before shipping any artifact of the model."""


class SummaryTemplate(Part):
    """One compilation."""

    architecture: str
    format: str
    layout: str
    seconds: float
    models: int


class SummaryCertificate(Part):
    """What was proven once of a template in a runtime, and how many models inherit it.

    `calls` are groups of probes (each size, awkward events), `outside` kinds of inputs outside the contract, and
    `controls` kinds of deliberately broken artifacts, for each of the `weight_sets`.
    """

    architecture: str
    format: str
    layout: str
    runtime: str
    status: Status
    reason: str
    weight_sets: int
    calls: int
    outside: int
    controls: int
    models: int
    seconds: float


class SummaryControl(Part):
    """One kind of deliberately broken artifact, over all validations of the run."""

    name: str
    detected: bool


class SummaryComparison(Part):
    """The largest difference between two of a campaign's artifacts, or the reference, over `models` models."""

    campaign: str
    first: str
    second: str
    max_abs_diff: float
    models: int


class SummaryProbes(Part):
    """Shape points and inputs outside the contract of one export in one runtime, the worst over a campaign's models."""

    campaign: str
    export: str
    runtime: str
    models: int
    shapes: tuple[ShapePoint, ...]
    outside: tuple[OutsideCase, ...]


class SummaryExploration(Part):
    """What a model's embeddings hold; AUCs are means over classes, each against the class `against`."""

    model: str
    against: str
    jets: int
    accuracy: float
    auc: float
    probe_auc: float


class Summary(Record):
    """`reports/summary.json`: the report for machines."""

    FILE: ClassVar[str] = "summary.json"

    verdict: Status
    generated: str
    environment: Environment
    commit: str = ""
    """Of the working folder, if it is under version control."""
    config_sha256: str = ""
    """Of the config as it was understood, defaults included."""
    data: Mapping[str, str] = {}
    """SHA-256 of each file of real events that models were validated on, by its path."""
    templates: tuple[SummaryTemplate, ...]
    certificates: tuple[SummaryCertificate, ...] = ()
    controls: tuple[SummaryControl, ...]
    comparisons: tuple[SummaryComparison, ...] = ()
    probes: tuple[SummaryProbes, ...] = ()
    models: tuple[SummaryModel, ...]
    explorations: tuple[SummaryExploration, ...] = ()
    runtimes_not_run: Mapping[str, str] = {}
    """What this machine lacks, by the runtime that was left out for it."""
