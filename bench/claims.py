"""Measure what the project claims about speed: `make bench`.

One process, one thread, calls of all artifacts and of the eager reference taken in turn; medians of what is measured
in the same run. Exits with 1 if a claim does not hold on this machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from modelferry.config import Config
from modelferry.core.environment import describe
from modelferry.families.charged_higgs_particlenet.reference import ParticleNet
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.records.benchmark import Benchmark, BenchmarkRow
from modelferry.records.export import Template
from modelferry.stages.benchmark.stage import benchmark_model
from modelferry.stages.export.artifact import export_model
from modelferry.stages.export.template import build_template

PARTICLES, LARGE_BATCH = 20, 256
EXPORTS = [
    {"format": "torchscript", "name": "torchscript-flat", "layout": "flat", "transforms": "none"},
    {"format": "torchscript", "name": "torchscript-dense", "layout": "dense"},
    {"format": "torch_export", "name": "torch_export-dense", "layout": "dense"},
    {"format": "onnx", "name": "onnx-flat", "layout": "flat"},
    {"format": "onnx", "name": "onnx-dense", "layout": "dense"},
    {"format": "aotinductor", "name": "aotinductor-flat", "layout": "flat"},
    {"format": "aotinductor", "name": "aotinductor-dense", "layout": "dense"},
]
SEED_STYLE = "torchscript-flat"
FILL_SECONDS = 1.0


@dataclass(frozen=True)
class Claim:
    """A bound, and what was measured."""

    text: str
    bound: float
    measured: float
    at_least: bool = True

    @property
    def held(self) -> bool:
        """Whether the measurement is on the right side of the bound."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def main() -> int:
    """Export one model with random weights to everything, time it, and print the tables."""
    with tempfile.TemporaryDirectory(prefix="modelferry-bench-") as folder:
        os.chdir(folder)
        planned = random_model()
        print(f"{describe().cpu}, {describe().isa}, load average {describe().load_average}", flush=True)
        fills = dict(export_all(planned))
        records = {f"{r.format}-{r.layout}": r for r in benchmark_model(planned, without={"cpp"})}
        os.chdir("/")
    print_latencies(records)
    claims = [*speed_claims(records), *(Claim(f"fill {n} [s]", FILL_SECONDS, s, False) for n, s in fills.items())]
    return print_claims(claims)


def print_claims(claims: list[Claim]) -> int:
    """Print bounds and measurements; return the exit code."""
    print("\n| claim | bound | measured | |\n|:--|--:|--:|:--|")
    for claim in claims:
        sign = "≥" if claim.at_least else "≤"
        print(
            f"| {claim.text} | {sign} {claim.bound:g} | {claim.measured:.2f} | {'held' if claim.held else 'NOT HELD'} |"
        )
    return 0 if all(claim.held for claim in claims) else 1


def random_model() -> PlannedModel:
    """Return the charged-Higgs network with random weights and statistics."""
    torch.manual_seed(1)
    network = ParticleNet()
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), "network.pt")
    campaign = {
        "family": "charged_higgs_particlenet",
        "axes": {"fold": [0]},
        "checkpoint": "network.pt",
        "formats": EXPORTS,
        "benchmark": {"batches": [1, LARGE_BATCH], "sizes": [PARTICLES], "seconds": 2.0},
    }
    return next(iter(Plan(Config.model_validate({"campaigns": {"bench": campaign}})).models.values()))


def export_all(planned: PlannedModel) -> Iterator[tuple[str, float]]:
    """Build and fill every template; yield the seconds that filling took, without the interpreter's start."""
    for export in planned.model.exports:
        template: Template = build_template(planned.template(export.name))
        manifest = export_model(planned, export.name)
        print(f"{export.name}: built in {template.seconds:.1f} s, filled in {manifest.seconds:.2f} s", flush=True)
        yield export.name, manifest.seconds


def print_latencies(records: dict[str, Benchmark]) -> None:
    """Print one row an artifact and point."""
    print("\n| export | batch | p50 [ms] | p99 [ms] | ms an event | × eager | first call [ms] |")
    print("|:--|--:|--:|--:|--:|--:|--:|")
    eager = next(iter(records.values())).baseline
    for name, rows in [("eager", eager), *((name, record.rows) for name, record in records.items())]:
        for row in rows:
            p99 = "–" if row.p99_ms is None else f"{row.p99_ms:.3f}"
            ratio, each = row.baseline_p50_ms / row.p50_ms, row.p50_ms / row.batch
            cells = f"{row.p50_ms:.3f} | {p99} | {each:.3f} | {ratio:.2f} | {row.first_call_ms:.1f}"
            print(f"| {name} | {row.batch} | {cells} |")


def speed_claims(records: dict[str, Benchmark]) -> Iterator[Claim]:
    """Yield the claims on latency and throughput."""
    seed_style = at(records[SEED_STYLE].rows, 1)
    eager = at(records[SEED_STYLE].baseline, 1)
    for name, over_torchscript, over_eager in (("aotinductor-dense", 4.0, 9.0), ("onnx-dense", 2.5, 5.0)):
        ours = at(records[name].rows, 1)
        yield Claim(f"{name} against traced flat TorchScript", over_torchscript, seed_style.p50_ms / ours.p50_ms)
        yield Claim(f"{name} against eager", over_eager, eager.p50_ms / ours.p50_ms)
    batched = at(records["aotinductor-dense"].rows, LARGE_BATCH)
    throughput = (batched.batch / batched.p50_ms) * eager.p50_ms
    yield Claim(f"aotinductor-dense, {LARGE_BATCH} events a call, against eager one by one", 10.0, throughput)


def at(rows: tuple[BenchmarkRow, ...], batch: int) -> BenchmarkRow:
    """Return the row of a batch size."""
    return next(row for row in rows if row.batch == batch)


if __name__ == "__main__":
    sys.exit(main())
