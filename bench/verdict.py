"""Measure how often the verdict calls a right artifact wrong, and how small a defect it sees; beside the rule before.

``python bench/verdict.py RESULTS`` judges what `verdict_outputs.py` kept, prints both, and draws a figure for the docs.
The size of a defect is its largest effect on an output, on events that are neither ill-conditioned nor made near a
tie, in units of the root-mean-square error that the float32 reference itself has in that output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from torch import nn
from verdict_outputs import FOLDER, SUBJECTS, Case

from modelferry.comparison.calibration import Calibration
from modelferry.comparison.difference import ILL_CONDITIONED, Examination, Outputs, within
from modelferry.comparison.judge import judge
from modelferry.core.tolerances import Tolerance
from modelferry.stages.validation.perturbation import Examiner

ROOT = Path(__file__).resolve().parents[1]
EDGES = (0, 1, 2, 3, 5, 7, 10, 12, 14, 17, 20, 30, 50, 100, 1000, np.inf)
SEEN_FROM = 20
"""Defects of this size must be seen."""


@dataclass(frozen=True)
class Judged:
    """A right artifact, or one with a defect: both verdicts, and the size of the defect."""

    artifact: str
    defect: str
    size: float
    passed: bool
    passed_before: bool
    bulk: float
    tail: float
    reason: str


def judge_set(case: Case, number: int, arrays: Mapping[str, np.ndarray]) -> Iterator[Judged]:
    """Judge the artifacts of one weight set, right and with each defect."""
    family, own = case.family, case.contract(case.family.reference_layout)
    events = [event for probe in case.probes(number) for event in probe.events]
    weights = case.weights(number)

    @cache
    def networks() -> tuple[nn.Module, nn.Module]:
        return case.reference(weights), family.double(case.reference(weights))

    examiner = Examiner(family, own, networks)

    def examine(rows: np.ndarray) -> Examination:
        found = examiner([events[row] for row in rows])
        parts = [vars(found[tensor.name]) for tensor in own.outputs]
        return Examination(**{kind: np.concatenate([part[kind] for part in parts], axis=-1) for kind in parts[0]})

    float64, float32, labels, distinct = (arrays[name] for name in ("float64", "float32", "label", "distinct"))
    special = [*family.special(0), *family.documented(0)]
    calibration = Calibration.of(Outputs(float64, float32, float32), Tolerance(), distinct)
    usual = ~np.isin(labels, special) & ~calibration.ill
    effects = {"": np.zeros(1)} | {
        key.removeprefix("defect/"): value - float64 for key, value in arrays.items() if key.startswith("defect/")
    }
    for key, artifact in arrays.items():
        if not key.startswith("artifact/"):
            continue
        for defect, effect in effects.items():
            if defect and key.endswith("/cpp"):
                continue  # the numbers are those of the same artifact in Python
            outputs = Outputs(float64, float32, artifact + effect if defect else artifact, examine)
            found = judge(outputs, labels, Tolerance(), special, distinct)
            size = float(np.abs(effect / calibration.scale)[usual].max(initial=0)) if defect else 0.0
            name = f"{case.subject.name} {number} {key.removeprefix('artifact/')}"
            before = passed_before(outputs, distinct)
            yield Judged(name, defect, size, found.verdict.passed, before, found.bulk, found.tail, found.verdict.reason)


def passed_before(outputs: Outputs, distinct: np.ndarray) -> bool:
    """Return whether an artifact passed by the rule of version 0.1.

    It did if it agreed within the tolerance, or if its largest error was at most twice the reference's largest one.
    Events were set apart where outputs jump by ten tolerances; here only those that disagree are looked at.
    """
    tolerance = Tolerance()
    kept = within(outputs.float32, outputs.float64, tolerance, ILL_CONDITIONED)
    rows = np.flatnonzero(kept & ~within(outputs.artifact, outputs.float32, tolerance))
    if outputs.examine is not None and 0 < len(np.unique(distinct[rows])) <= 0.1 * len(np.unique(distinct)):
        limit = ILL_CONDITIONED * tolerance.allowed(outputs.float64[rows])
        jumping = (outputs.examine(rows).jumps.max(axis=0) > limit).any(axis=1)
        kept &= ~np.isin(distinct, distinct[rows[jumping]])
    part = outputs.take(kept)
    if within(part.artifact, part.float32, tolerance).all():
        return True
    own = np.abs(part.float32 - part.float64).max(initial=0)
    return bool((np.abs(part.artifact - part.float64) <= 2 * own).all())


def draw(bins: Sequence[tuple[float, float, float]], path: Path) -> None:
    """Draw the shares that are seen by both rules, (smallest size, now, before)."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    sizes, now, before = zip(*bins, strict=True)
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axes.step(sizes, now, where="post", label="now", color="#0072b2")
    axes.step(sizes, before, where="post", label="version 0.1", color="#d55e00", linestyle="--")
    axes.axvline(SEEN_FROM, color="0.6", linewidth=1)
    axes.set(xscale="log", xlabel="largest effect / root-mean-square error of float32", ylabel="share of defects seen")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main(results: Path) -> int:
    """Print false alarms and power; return 1 if a right artifact failed or a large defect passed."""
    found: list[Judged] = []
    cases = {subject.name: Case(subject, results) for subject in SUBJECTS}
    for path in sorted(file for file in FOLDER.glob("*.npz") if not file.name.startswith("part-")):
        name, _, number = path.stem.rpartition("-")
        with np.load(path) as archive:
            found += judge_set(cases[name], int(number), dict(archive.items()))
    right, wrong = ([one for one in found if bool(one.defect) == defective] for defective in (False, True))
    large = [one for one in wrong if one.size >= SEEN_FROM]
    alarms, missed = ([one for one in part if one.passed == passed] for part, passed in ((right, False), (large, True)))
    print(
        f"{len(right):,} right artifacts: {len(alarms)} false alarms, {sum(not o.passed_before for o in right)} before"
    )
    print(
        f"their errors: {max(o.bulk for o in right):.2f} over all events, {max(o.tail for o in right):.1f} the largest"
    )
    print(f"{len(large):,} defects of {SEEN_FROM} and more: {len(missed)} missed", end=", ")
    print(f"{sum(one.passed_before for one in large):,} before")
    bins = []
    for low, high in pairwise(EDGES):
        part = [one for one in wrong if low <= one.size < high]
        if part:
            now, before = np.mean([[not one.passed, not one.passed_before] for one in part], axis=0)
            print(f"  size {low:>4} to {high:>4}: {len(part):>6,} defects, seen {now:7.2%}, before {before:7.2%}")
            bins.append((max(low, 0.5), now, before))
    for one in (*alarms, *missed):
        print(f"  {one}")
    draw(bins, ROOT / "docs/images/verdict.png")
    return 1 if alarms or missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
