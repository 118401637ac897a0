"""Validate the artifacts of a config with many seeds in a row: none of them may fail.

Run where a workflow has run: `python bench/seeds.py [SEEDS [FIRST]]`. Every seed means other events, of other
sizes, in another order. Exits with 1 if an artifact fails with any of them, and says with which.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from pathlib import Path

from modelferry.config.file import read_config
from modelferry.families import load_family
from modelferry.formats import load_format
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.stages.validation.checks import check_artifact
from modelferry.stages.validation.reference import record_reference

SEEDS = 50


def main(seeds: int = SEEDS, start: int = 1) -> int:
    """Examine the first model of each campaign with `seeds` seeds from `start` on."""
    first: dict[str, PlannedModel] = {}
    for planned in Plan(read_config(None)).runnable.values():
        first.setdefault(planned.model.campaign, planned)
    return sum(failures(planned, range(start, start + seeds)) for planned in first.values()) and 1


def failures(planned: PlannedModel, seeds: range) -> int:
    """Return how often an artifact of one model fails."""
    family = load_family(planned.model.family)
    runners = {e.name: load_format(e.format).load(Path(planned.artifact(e.name)), 1) for e in planned.exports}
    passed: Counter[str] = Counter()
    worst: dict[str, float] = dict.fromkeys(runners, 0.0)
    for seed in seeds:
        started = time.perf_counter()
        settings = planned.model.validation.model_copy(update={"seed": seed})
        changed = dataclasses.replace(planned, model=dataclasses.replace(planned.model, validation=settings))
        recording = record_reference(changed)
        for export in planned.exports:
            contract = family.contract(planned.hyperparameters, family.layout(export.layout))
            exactness = load_format(export.format).exactness
            tolerance = planned.tolerance(export.name)
            found = check_artifact(runners[export.name], family, contract, recording, tolerance, exactness, settings)
            passed[export.name] += found.verdict.passed
            worst[export.name] = max(worst[export.name], found.judgement.regular.error_ratio)
            if not found.verdict.passed:
                print(f"seed {seed}: {export.name}: {found.verdict.reason}", flush=True)
        print(f"seed {seed}: {time.perf_counter() - started:.1f} s", flush=True)
    for name, ratio in worst.items():
        print(
            f"{name}: passed {passed[name]} of {len(seeds)}, largest error {ratio:.2f} times that of float32",
            flush=True,
        )
    return sum(len(seeds) - passed[name] for name in runners)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
