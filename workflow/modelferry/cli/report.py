"""The report on all models, its verdict, and the gate."""

from __future__ import annotations

import argparse
import sys

from modelferry.cli.jobs import plan_of
from modelferry.core import paths
from modelferry.core.errors import ModelferryError
from modelferry.core.files import write_text
from modelferry.records.summary import Summary


def models(options: argparse.Namespace) -> int:
    """List all models with their state."""
    from modelferry.stages.report.collect import collect

    summary, _ = collect(plan_of(options))
    width = max(len(model.id) for model in summary.models)
    for model in summary.models:
        print(f"{model.id:<{width}}  {model.status:<8}{model.reason}".rstrip())
    return 0


def report(options: argparse.Namespace) -> int:
    """Write the report on whatever is there."""
    from modelferry.stages.report.stage import report as write

    write(plan_of(options))
    return 0


def verdict(options: argparse.Namespace) -> int:
    """Say where the report is and what its verdict is."""
    summary = Summary.read(paths.SUMMARY)
    passed = sum(model.status == "passed" for model in summary.models)
    print(f"{paths.REPORT}: {summary.verdict}, {passed} of {len(summary.models)} models")
    return 0 if summary.verdict == "passed" else 1


def gate(options: argparse.Namespace) -> int:
    """Fail if the report's verdict is not `passed`."""
    summary = Summary.read(paths.SUMMARY)
    if summary.verdict == "passed":
        write_text(paths.GATE, f"{summary.generated}\n")
        return 0
    for model in summary.models:
        if model.status != "passed":
            print(f"error: {model.id}: {model.reason}", file=sys.stderr)
    for control in summary.controls:
        if not control.detected:
            print(f"error: the validator did not detect this control: {control.name}", file=sys.stderr)
    raise ModelferryError(f"the verdict is {summary.verdict}", f"see {paths.REPORT}")
