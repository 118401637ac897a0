"""What a benchmark measured."""

from __future__ import annotations

from modelferry.core.model import Environment, Part
from modelferry.records import Record


class Timing(Part):
    """One latency: `batch` events of `particles` particles each, in steady state, in milliseconds a call.

    `particles` is None where events have no size of their own. The interval is a 95 % bootstrap interval of p50.
    p99 is None where there were too few samples to speak of one, and what a fresh process needs until its first result
    where only single points were timed.
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
    cold_load_ms: float | None
    first_call_ms: float | None
    peak_memory_mb: float | None


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
