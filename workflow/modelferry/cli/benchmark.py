"""Timing artifacts."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelferry.cli.jobs import chosen, exit_code, in_parts, plan_of
from modelferry.core import paths
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import BENCHMARK
from modelferry.runtimes import runtimes_of


def benchmark(options: argparse.Namespace) -> int:
    """Time artifacts beside the eager reference."""
    plan = plan_of(options)
    point = {one.id: options.point or (options.exit_zero and one.id not in plan.swept) for one in chosen(plan, options)}
    return exit_code([_time(one, options, point[one.id]) for one in chosen(plan, options)], options)


def _time(planned: PlannedModel, options: argparse.Namespace, point: bool) -> bool:
    from modelferry.stages.benchmark.stage import benchmark_model

    def run() -> list[str]:
        files = [paths.benchmark(planned.id, e.name, r) for e in planned.exports for r in runtimes_of(e.format)]
        for file in files:
            Path(file).unlink(missing_ok=True)
        records = benchmark_model(planned, point=point)
        noun = next(iter(planned.family.sizes), None)
        for record in records:
            row = record.rows[0]
            size = "" if row.particles is None else f", {row.particles} {noun}"
            ratio = row.baseline_p50_ms / row.p50_ms
            print(f"{record.model}: {record.format} p50 {row.p50_ms:.3g} ms (batch 1{size}), {ratio:.2g} × eager")
        return [file for file in files if Path(file).is_file()]

    return in_parts(BENCHMARK, planned.id, {"": run}, options, whole=True)
