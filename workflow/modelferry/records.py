"""Every JSON file that the workflow writes, as a typed record; the schemas in `workflow/schemas` come from here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from modelferry.contract import Contract
from modelferry.errors import ArtifactError

SCHEMA_VERSION = 1

Exactness = Literal["exact", "approximation"]
Status = Literal["passed", "failed"]


class Part(BaseModel):
    """A piece of a record: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Record(Part):
    """A JSON file; written to a temporary name and moved into place, so that no half a file is ever seen."""

    schema_version: int = SCHEMA_VERSION

    def write(self, path: Path | str) -> None:
        """Write the record to `path`, atomically."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a record; raise `ArtifactError` if it is missing or of another kind."""
        try:
            return cls.model_validate_json(Path(path).read_text())
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing", "run `snakemake`, which will make it") from None
        except (ValidationError, ValueError) as error:
            reason = str(error).splitlines()[0]
            if isinstance(error, ValidationError):
                reason = ": ".join([*map(str, error.errors()[0]["loc"]), error.errors()[0]["msg"]])
            raise ArtifactError(f"{path} is no {cls.__name__}: {reason}", "delete it and run again") from None


def write_text(path: Path | str, text: str) -> None:
    """Write a text file, atomically."""
    temporary = temporary_name(path)
    temporary.write_text(text)
    temporary.replace(path)


def temporary_name(path: Path | str) -> Path:
    """Return a name beside `path` for a file in the making; makes the folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


class Environment(Part):
    """Where something was made or measured."""

    python: str
    platform: str
    cpu: str
    isa: str
    cores: int
    load_average: float
    packages: Mapping[str, str]


class FileFacts(Part):
    """A file as it was read or written."""

    path: str
    bytes: int
    sha256: str


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
    file: FileFacts
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
    artifact: FileFacts
    checkpoint: FileFacts
    demo: bool
    template_sha256: str
    contract: Contract
    seconds: float
    environment: Environment


class Tolerance(Part):
    """An output passes where ``|artifact - reference| <= atol + rtol * |reference|``."""

    rtol: float = 1e-5
    atol: float = 1e-6


BLIND = "the validator is broken"
"""How the reason of a validation begins if a control went unseen."""


class ShapePoint(Part):
    """One group of probes: those of one size, by the dimensions that have it, or of one kind.

    What is within the contract must be answered correctly, and all else be rejected.
    """

    label: str
    sizes: Mapping[str, int]
    events: int
    expected: Literal["correct", "rejected"]
    outcome: Literal["correct", "rejected", "silently wrong"]
    max_abs_diff: float

    @property
    def status(self) -> Status:
        """Whether what was expected came out."""
        return "passed" if self.outcome == self.expected else "failed"


class OutsideCase(Part):
    """One kind of inputs outside the contract, in so many cases, and what became of them.

    `not finite` and `correct` are for numbers that are not finite: they show in the outputs of their event, or do not
    matter to the network as trained.
    """

    kind: str
    cases: int
    outcome: Literal["rejected", "not finite", "correct", "silently wrong"]
    detail: str


class PropertyResult(Part):
    """A property of the network as trained and of the artifact: the largest changes of an output where none should."""

    name: str
    outcome: Literal["holds", "violated by the network as trained", "violated by the artifact"]
    trained_change: float
    artifact_change: float

    @property
    def lost(self) -> bool:
        """Whether the artifact lacks what the network as trained has."""
        return self.outcome == "violated by the artifact"


class ClassPair(Part):
    """How well two classes are told apart: the areas under their ROC curve."""

    classes: tuple[str, str]
    trained_auc: float
    artifact_auc: float


class IllConditioned(Part):
    """An event whose float32 reference departs from the float64 one, or would if inputs differed in the last place."""

    event: int
    source: str
    reference_float32: tuple[float, ...]
    reference_float64: tuple[float, ...]
    artifact: tuple[float, ...]


class Control(Part):
    """A deliberately broken artifact, and whether the validator saw it."""

    name: str
    detected: bool
    max_abs_diff: float


class Sketch(Part):
    """Differences from the float32 reference event by event, packed: `modelferry.sketch` reads them."""

    events: int
    values: int
    differences: str


class Validation(Record):
    """`validation.<runtime>.json`: one artifact compared with the network as trained, in one runtime."""

    model: str
    format: str
    layout: str
    runtime: str
    artifact_sha256: str
    exactness: Exactness
    status: Status
    reason: str
    tolerance: Tolerance
    events: int
    max_abs_diff: float
    max_rel_diff: float
    max_ulps: int
    error_float64: float
    reference_error_float64: float
    error_ratio_float64: float
    smallest_rtol: float
    smallest_atol: float
    deployable_max_abs_diff: float
    weights_compared: int
    sketch: Sketch
    shapes: tuple[ShapePoint, ...]
    outside: tuple[OutsideCase, ...]
    properties: tuple[PropertyResult, ...]
    argmax_flips: int
    max_score_shift: float
    labelled_events: int
    labelled_argmax_flips: int
    labelled_max_score_shift: float
    delta_auc: float | None
    class_pairs: tuple[ClassPair, ...]
    ill_conditioned: int
    ill_conditioned_events: tuple[IllConditioned, ...]
    controls: tuple[Control, ...]
    seconds: float
    environment: Environment


class Timing(Part):
    """One latency: `batch` events of `particles` particles each, in steady state, in milliseconds a call.

    `particles` is None where events have no size of their own. The interval is a 95 % bootstrap interval of p50.
    p99 is None where there were too few samples to speak of one.
    """

    threads: int
    batch: int
    particles: int | None
    samples: int
    p50_ms: float
    p50_low_ms: float
    p50_high_ms: float
    p90_ms: float
    p99_ms: float | None
    baseline_p50_ms: float
    cold_load_ms: float
    first_call_ms: float
    peak_memory_mb: float


class BenchmarkRow(Timing):
    """A latency, and whether the outputs were right meanwhile."""

    outputs_correct: bool


class Benchmark(Record):
    """`benchmark.<runtime>.json`: latencies of one artifact in one runtime.

    `format` is that of an artifact, or `eager` for the reference, timed in turn with the artifacts.
    """

    model: str
    format: str
    layout: str
    runtime: str
    artifact_sha256: str
    rows: tuple[BenchmarkRow, ...]
    baseline: tuple[BenchmarkRow, ...]
    environment: Environment


class Failure(Record):
    """`logs/failures/<stage>/….json`: why a stage failed for a model; removed when it succeeds."""

    model: str
    stage: str
    export: str = ""
    reason: str


class DemoTraining(Record):
    """`training.json` beside a demo checkpoint: how the demo network was trained, and what it can do."""

    model: str
    epochs: int
    events: Mapping[str, int]
    classes: tuple[str, ...]
    test_auc: Mapping[str, float]
    test_accuracy: float | None = None
    """Share of the test events that are decided for their own class, where there are more than two."""
    seconds: float
    environment: Environment


class SummaryValidation(Part):
    """One runtime's verdict on an artifact."""

    runtime: str
    status: Status
    reason: str
    events: int
    tolerance: Tolerance
    max_abs_diff: float
    max_rel_diff: float
    max_ulps: int
    smallest_rtol: float
    error_float64: float
    reference_error_float64: float
    error_ratio_float64: float
    argmax_flips: int
    max_score_shift: float
    labelled_events: int = 0
    labelled_argmax_flips: int = 0
    labelled_max_score_shift: float = 0.0
    ill_conditioned: int
    delta_auc: float | None
    weights_compared: int
    class_pairs: tuple[ClassPair, ...] = ()
    properties: tuple[PropertyResult, ...] = ()


class SummaryBenchmark(Timing):
    """One latency of an artifact, or of the eager reference."""

    runtime: str


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


class SummaryTemplate(Part):
    """One compilation."""

    architecture: str
    format: str
    layout: str
    seconds: float
    models: int


class SummaryControl(Part):
    """One kind of deliberately broken artifact, over all validations of the run."""

    name: str
    detected: bool


class SummaryComparison(Part):
    """The largest difference between two of a campaign's artifacts, or the reference, over so many models."""

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
    templates: tuple[SummaryTemplate, ...]
    controls: tuple[SummaryControl, ...]
    comparisons: tuple[SummaryComparison, ...] = ()
    probes: tuple[SummaryProbes, ...] = ()
    models: tuple[SummaryModel, ...]
    explorations: tuple[SummaryExploration, ...] = ()
    runtimes_not_run: Mapping[str, str] = {}
    """What this machine lacks, by the runtime that was left out for it."""


WRITTEN: tuple[type[Record], ...] = (
    Template, Manifest, Validation, Benchmark, Failure, DemoTraining, Summary,
)  # fmt: skip
