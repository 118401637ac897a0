"""The report on all models, its verdict, and the gate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from modelferry.cli.jobs import plan_of, print_json
from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ModelferryError
from modelferry.core.files import write_text
from modelferry.records.export import Manifest
from modelferry.records.summary import Summary


def report(options: argparse.Namespace) -> int:
    """Write the report on whatever is there, or tell how the last one differs from another."""
    if options.against is not None:
        from modelferry.stages.report.changes import changes

        differences = changes(Summary.read(options.against), Summary.read(paths.SUMMARY))
        print("\n".join(differences) or "nothing but timings differs")
        return 0
    from modelferry.stages.report.stage import report as write

    write(plan_of(options))
    return 0


def verdict(options: argparse.Namespace) -> int:
    """Say where the report is and what its verdict is; it counts only for files that have not changed since."""
    summary = Summary.read(paths.SUMMARY)
    altered = dict(_altered(summary, every_byte=False))
    passed = sum(model.status == "passed" and model.id not in altered for model in summary.models)
    status = "failed" if altered else summary.verdict
    if options.json:
        facts = {"verdict": status, "report": paths.REPORT, "passed": passed, "models": len(summary.models)}
        print_json(facts | {"altered": altered})
        return 0 if status == "passed" else 1
    print(f"{paths.REPORT}: {status}, {passed} of {len(summary.models)} models")
    for model, reason in altered.items():
        print(f"error: {model}: {reason}", file=sys.stderr)
    return 0 if status == "passed" else 1


def gate(options: argparse.Namespace) -> int:
    """Fail if the report's verdict is not `passed`, or the files are not those that it is about: all bytes are read."""
    Path(paths.GATE).unlink(missing_ok=True)
    summary = Summary.read(paths.SUMMARY)
    altered = dict(_altered(summary, every_byte=True))
    if summary.verdict == "passed" and not altered:
        write_text(paths.GATE, f"{summary.generated}\n")
        return 0
    for model_id, reason in altered.items():
        print(f"error: {model_id}: {reason}", file=sys.stderr)
    for model in summary.models:
        if model.status != "passed":
            print(f"error: {model.id}: {model.reason}", file=sys.stderr)
    for control in summary.controls:
        if not control.detected:
            print(f"error: the validator did not detect this control: {control.name}", file=sys.stderr)
    if summary.verdict == "passed":
        raise ModelferryError(
            "artifacts were altered after they were validated", "run `snakemake`, which makes them again"
        )
    raise ModelferryError(f"the verdict is {summary.verdict}", f"see {paths.REPORT}")


def _altered(summary: Summary, every_byte: bool) -> Iterator[tuple[str, str]]:
    """Yield the models whose artifacts are not those that the report is about, each with the first reason."""
    for model in summary.models:
        for artifact in model.artifacts:
            try:
                manifest = Manifest.read(Path(artifact.path).parent / "manifest.json")
            except ArtifactError as error:
                yield model.id, str(error)
                break
            facts = manifest.artifact
            unchanged = facts.intact if every_byte else facts.present and not facts.altered
            if facts.sha256 != artifact.sha256 or not unchanged:
                yield model.id, f"{artifact.path} is not the file that was validated; run `snakemake` again"
                break
