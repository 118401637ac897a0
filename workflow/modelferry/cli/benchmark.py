"""Timing artifacts."""

from __future__ import annotations

import argparse

from modelferry.cli.jobs import for_each_model, reported
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import BENCHMARK


def benchmark(options: argparse.Namespace) -> int:
    """Time artifacts beside the eager reference."""
    from modelferry.stages.benchmark.stage import benchmark_model

    def run(planned: PlannedModel) -> None:
        with reported(BENCHMARK, planned.id):
            records = benchmark_model(planned)
        noun = next(iter(planned.family.sizes), None)
        for record in records:
            row = record.rows[0]
            size = "" if row.particles is None else f", {row.particles} {noun}"
            ratio = row.baseline_p50_ms / row.p50_ms
            print(f"{record.model}: {record.format} p50 {row.p50_ms:.3g} ms (batch 1{size}), {ratio:.2g} × eager")

    return for_each_model(options, run)
