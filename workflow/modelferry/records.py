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
    """One group of probes of the same size."""

    label: str
    events: int
    max_abs_diff: float
    status: Status


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


class Validation(Record):
    """`validation.<runtime>.json`: one artifact compared with the network as trained, in one runtime."""

    model: str
    format: str
    layout: str
    runtime: str
    artifact_sha256: str
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
    shapes: tuple[ShapePoint, ...]
    argmax_flips: int
    max_score_shift: float
    delta_auc: float | None
    auc: Mapping[str, float]
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
    ill_conditioned: int
    delta_auc: float | None


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


class Summary(Record):
    """`reports/summary.json`: the report for machines."""

    FILE: ClassVar[str] = "summary.json"

    verdict: Status
    generated: str
    environment: Environment
    templates: tuple[SummaryTemplate, ...]
    controls: tuple[SummaryControl, ...]
    models: tuple[SummaryModel, ...]
    runtimes_not_run: Mapping[str, str] = {}
    """What this machine lacks, by the runtime that was left out for it."""


WRITTEN: tuple[type[Record], ...] = (
    Template, Manifest, Validation, Benchmark, Failure, DemoTraining, Summary,
)  # fmt: skip
