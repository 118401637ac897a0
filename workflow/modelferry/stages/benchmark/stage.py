"""Benchmark of one model: all its artifacts and the eager reference, in turn, at several batch and event sizes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelferry.comparison.outputs import by_event, within
from modelferry.comparison.scores import as_given
from modelferry.core import paths
from modelferry.core.contract import Contract
from modelferry.core.environment import describe
from modelferry.core.files import sha256_of_files
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.formats import Runner
from modelferry.records.benchmark import Benchmark, BenchmarkRow
from modelferry.records.export import Manifest
from modelferry.runtimes import ColdStart
from modelferry.stages.benchmark.cases import (
    EAGER,
    SEED,
    Subject,
    is_there,
    load_subject,
    runtime_of_subject,
    subjects_of,
)
from modelferry.stages.benchmark.cold_start import cold_start
from modelferry.stages.benchmark.timing import Latency, time_in_turn

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel

MOMENT = 0.03
"""Seconds that are spent on each artifact at a single point."""
LOOSE = 100.0
NEARLY_ALL = 0.99
"""While timing, outputs of so many events must agree within this many tolerances: enough to see another model, or none,
and not to stumble over a near-tie."""


def benchmark_model(planned: PlannedModel, without: Collection[str] = (), point: bool = False) -> list[Benchmark]:
    """Time a model's artifacts beside its eager reference, in all runtimes but some, and write a record for each.

    At one `point`, nothing is loaded in a fresh process, and single events of about typical size are timed for a
    moment: enough to see that an artifact is as fast as those of other models.
    """
    model, settings = planned.model, planned.model.benchmark
    family = planned.family
    subjects = [s for s in subjects_of(planned, family) if s.runtime not in without and is_there(planned, s)]
    manifests = {s.export: Manifest.read(paths.manifest(model.id, s.export)) for s in subjects if s.export != EAGER}
    cold = {} if point else {subject: cold_start(planned, subject) for subject in subjects}
    runners = {subject: load_subject(planned, family, subject, settings.threads) for subject in subjects}
    rows: dict[Subject, list[BenchmarkRow]] = {subject: [] for subject in subjects}
    contract = family.contract(planned.hyperparameters, family.reference_layout)
    contracts = {EAGER: contract, **{export: manifest.contract for export, manifest in manifests.items()}}
    every = list(points(settings.batches, settings.sizes, family, contract))
    seconds = min(settings.seconds, MOMENT) if point else settings.seconds
    for batch, size in [typical_point(every, family, contract)] if point else every:
        sizes = family.call_sizes(contract, batch, size)
        chosen = {s: run for s, run in runners.items() if allowed(s, contracts, sizes)}
        latencies = time_point(planned, contracts, chosen, sizes, seconds, tails=not point)
        eager = next(latency for subject, latency in latencies.items() if subject.export == EAGER)
        for subject, latency in latencies.items():
            rows[subject].append(_row(latency, eager, cold.get(subject), settings.threads, batch, size))
    baseline = next(tuple(value) for subject, value in rows.items() if subject.export == EAGER)
    records = []
    for subject in subjects:
        if subject.export == EAGER:
            continue
        manifest = manifests[subject.export]
        record = Benchmark(
            model=model.id,
            format=manifest.format,
            layout=subject.layout,
            runtime=subject.runtime,
            artifact_sha256=sha256_of_files(manifest.artifact.paths),
            rows=tuple(rows[subject]),
            baseline=baseline,
            environment=describe(),
        )
        record.write(paths.benchmark(model.id, subject.export, subject.runtime))
        records.append(record)
    return records


def points(
    batches: tuple[int, ...], sizes: tuple[int, ...], family: Family, contract: Contract
) -> Iterator[tuple[int, int | None]]:
    """Yield the (batch, size) points: every size for single events, then every batch at the largest size.

    Sizes are those of the first dimension that varies from event to event; others follow (`Family.call_sizes`).
    """
    if not family.sizes:
        yield from ((batch, None) for batch in batches)
        return
    limit = contract.dimension(family.sizes[0]).maximum
    fitting = [size for size in sizes if size <= limit] or [limit]
    yield from ((1, size) for size in fitting)
    yield from ((batch, fitting[-1]) for batch in batches if batch != 1)


def typical_point(
    every: Sequence[tuple[int, int | None]], family: Family, contract: Contract
) -> tuple[int, int | None]:
    """Return the point with the fewest events of the size that is nearest to the typical one."""
    typical = contract.dimension(family.sizes[0]).typical if family.sizes else 0
    return min(every, key=lambda point: (point[0], abs((point[1] or 0) - typical)))


def allowed(subject: Subject, contracts: dict[str, Contract], sizes: Mapping[str, int]) -> bool:
    """Return whether the sizes of a call are within the contract of an artifact; the reference takes any."""
    if subject.export == EAGER:
        return True
    contract = contracts[subject.export]
    return all(size <= contract.dimension(name).maximum for name, size in sizes.items())


def time_point(
    planned: PlannedModel,
    contracts: Mapping[str, Contract],
    runners: dict[Subject, Runner],
    sizes: Mapping[str, int],
    seconds: float,
    tails: bool = True,
) -> dict[Subject, Latency]:
    """Time all runners on the same events; percentiles of `tails` need more samples. `contracts` are by export."""
    events = planned.family.sample(sizes, SEED)
    inputs = {subject: planned.family.inputs_of(events, contracts[subject.export]) for subject in runners}
    first = {subject: contracts[subject.export].outputs[0].name for subject in runners}
    eager = next(run(inputs[subject]) for subject, run in runners.items() if subject.export == EAGER)
    rows = {name: by_event(values) for name, values in eager.items()}
    names = {subject: f"{subject.export}/{subject.runtime}" for subject in runners}
    truth = {names[s]: as_given(rows, contracts[s.export].scored)[first[s]] for s in runners}

    def call(subject: Subject) -> tuple[np.ndarray, float]:
        outputs, seconds = runtime_of_subject(planned, subject).timed(runners[subject], inputs[subject])
        return outputs[first[subject]], seconds

    timed = time_in_turn(
        {name: (lambda s=subject: call(s)) for subject, name in names.items()},  # type: ignore[misc]
        lambda name, value: bool(within(by_event(value), truth[name], Tolerance(), LOOSE).mean() >= NEARLY_ALL),
        seconds,
        tails,
    )
    return {subject: timed[name] for subject, name in names.items()}


def _row(
    latency: Latency, eager: Latency, cold: ColdStart | None, threads: int, batch: int, size: int | None
) -> BenchmarkRow:
    return BenchmarkRow(
        threads=threads,
        batch=batch,
        particles=size,
        samples=latency.samples,
        p50_ms=latency.p50,
        p50_low_ms=latency.low,
        p50_high_ms=latency.high,
        p90_ms=latency.p90,
        p99_ms=latency.p99,
        baseline_p50_ms=eager.p50,
        cold_load_ms=None if cold is None else cold.load_ms,
        first_call_ms=None if cold is None else cold.first_call_ms,
        peak_memory_mb=None if cold is None else cold.peak_memory_mb,
        outputs_correct=latency.correct,
    )
