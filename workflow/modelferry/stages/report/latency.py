"""Latencies of a campaign's models: medians for tables and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from modelferry.records.summary import SummaryBenchmark, SummaryModel
from modelferry.stages.report.formatting import decimal
from modelferry.stages.report.grouping import size_noun

EAGER = "eager"
INTERVAL = "The interval goes from the lowest to the highest end of the models' 95 % bootstrap intervals."
ENOUGH = 5
"""Fewer models tell nothing of a spread."""
STANDS_OUT, QUARTILES = 0.2, 3.0
"""A p50 is an outlier if it is off the median by this share of it, and by so many distances of the quartiles."""


@dataclass(frozen=True)
class Latency:
    """One export in one runtime at one size: the median over models.

    The interval is that of p50 for one model (95 %), and from the lowest to the highest interval for several.
    Times in ms a call, memory in MB; `speedup` is the eager p50 over this one.
    """

    export: str
    runtime: str
    threads: int
    batch: int
    particles: int | None
    models: int
    p50: float
    low: float
    high: float
    p90: float
    p99: float | None
    speedup: float
    cold_load: float | None
    first_call: float | None
    memory: float | None

    @property
    def series(self) -> tuple[str, str]:
        """What the latency is of: export and runtime."""
        return self.export, self.runtime

    @property
    def throughput(self) -> float:
        """Events a second."""
        return 1e3 * self.batch / self.p50


@dataclass(frozen=True)
class Point:
    """The size at which exports are compared; `noun` is what events are made of."""

    threads: int
    batch: int
    particles: int | None
    noun: str = field(default="size", compare=False)

    def __str__(self) -> str:
        events = "one event" if self.batch == 1 else f"{self.batch} events"
        size = "" if self.particles is None else f" of {self.particles} {self.noun}"
        return f"{events}{size}, {'one thread' if self.threads == 1 else f'{self.threads} threads'}"


def spelled(export: str) -> str:
    """Return what tables and figures call an export, or the reference."""
    return "eager, as trained" if export == EAGER else export


def ratio(speedup: float) -> str:
    """Return how a time compares with that of the eager reference."""
    faster = speedup >= 1
    return f"{decimal(speedup if faster else 1 / speedup, 2)} × {'faster' if faster else 'slower'} than eager"


def measured(models: Sequence[SummaryModel]) -> Iterator[tuple[str, SummaryBenchmark]]:
    """Yield (export, measurement) for all models; the reference counts as the export `EAGER`."""
    for model in models:
        yield from ((EAGER, row) for row in model.baseline)
        for artifact in model.artifacts:
            yield from ((artifact.export, row) for row in artifact.benchmark)


def latencies(models: Sequence[SummaryModel]) -> list[Latency]:
    """Return one latency per export, runtime, threads, batch size and number of particles."""
    groups: dict[tuple[str, str, int, int, int | None], list[SummaryBenchmark]] = {}
    for export, row in measured(models):
        key = (export, row.runtime, row.threads, row.batch, row.particles)
        groups.setdefault(key, []).append(row)
    return [_together(*key, rows) for key, rows in groups.items()]


def _together(
    export: str, runtime: str, threads: int, batch: int, particles: int | None, rows: list[SummaryBenchmark]
) -> Latency:
    return Latency(
        export=export,
        runtime=runtime,
        threads=threads,
        batch=batch,
        particles=particles,
        models=len(rows),
        p50=median(row.p50_ms for row in rows),
        low=min(row.p50_low_ms for row in rows),
        high=max(row.p50_high_ms for row in rows),
        p90=median(row.p90_ms for row in rows),
        p99=_median(row.p99_ms for row in rows),
        speedup=1.0 if export == EAGER else median(row.baseline_p50_ms / row.p50_ms for row in rows),
        cold_load=_median(row.cold_load_ms for row in rows),
        first_call=_median(row.first_call_ms for row in rows),
        memory=_median(row.peak_memory_mb for row in rows),
    )


def _median(values: Iterable[float | None]) -> float | None:
    """Return the median of those that were measured; None if none was."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def working_point(models: Sequence[SummaryModel]) -> Point | None:
    """Return the size at which to compare: fewest threads, smallest batch, typical number of particles.

    Typical is the number of particles at which most batch sizes were measured; the largest of them if several.
    """
    rows = [row for _, row in measured(models)]
    if not rows:
        return None
    threads = min(row.threads for row in rows)
    batch = min(row.batch for row in rows if row.threads == threads)
    sizes = {(row.particles, row.batch) for row in rows if row.threads == threads}
    at_smallest = {particles for particles, size in sizes if size == batch}
    sweeps = Counter(particles for particles, _ in sizes if particles in at_smallest)
    particles = max(sweeps, key=lambda number: (sweeps[number], -1 if number is None else number))
    return Point(threads, batch, particles, size_noun(models))


def at_working_point(models: Sequence[SummaryModel]) -> list[Latency]:
    """Return the latencies at the working point: eager first, then the fastest first."""
    point = working_point(models)
    here = [row for row in latencies(models) if Point(row.threads, row.batch, row.particles) == point]
    return sorted(here, key=lambda row: (row.export != EAGER, row.p50, row.export, row.runtime))


@dataclass(frozen=True)
class Spread:
    """How one export's p50 in one runtime differs between models, at the working point.

    Attributes
    ----------
    middle
        Half the distance between the quartiles, as a share of the median: what latency depends on weights, and noise.
    outliers
        Models that stand out, with their p50 over the median.
    """

    export: str
    runtime: str
    models: int
    middle: float
    outliers: tuple[tuple[str, float], ...]


def spreads(models: Sequence[SummaryModel]) -> list[Spread]:
    """Return the spread of each export and runtime that enough models were timed in."""
    point = working_point(models)
    groups: dict[tuple[str, str], dict[str, float]] = {}
    for model in models:
        for export, row in measured([model]):
            if export != EAGER and Point(row.threads, row.batch, row.particles) == point:
                groups.setdefault((export, row.runtime), {})[model.id] = row.p50_ms
    return [_spread(*key, times) for key, times in groups.items() if len(times) >= ENOUGH]


def _spread(export: str, runtime: str, times: Mapping[str, float]) -> Spread:
    middle = median(times.values())
    low, _, high = quantiles(times.values(), n=4)
    allowed = max(STANDS_OUT * middle, QUARTILES * (high - low))
    outliers = {name: time / middle for name, time in times.items() if abs(time - middle) > allowed}
    ranked = sorted(outliers.items(), key=lambda item: -abs(item[1] - 1))
    return Spread(export, runtime, len(times), (high - low) / 2 / middle, tuple(ranked))
