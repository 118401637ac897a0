"""What commands share: the plan, the models that a call chose, and failures that hide no other model."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from modelferry.cli.selection import select
from modelferry.config.file import read_config
from modelferry.core import paths
from modelferry.core.errors import ModelferryError, in_words, log_traceback, one_line
from modelferry.core.known_files import known_sha256
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import Stage
from modelferry.records.failure import Failure
from modelferry.records.outcome import Outcome

Part = Callable[[], Iterable[Path | str]]
"""A part of a stage: returns the files that it made."""

_prepared: list[Plan] = []
"""The plan of the run whose job server this process was forked from."""


def prepare() -> Plan:
    """Make the plan of the run's config, for all jobs that are forked from this process."""
    _prepared[:] = [Plan(read_config())]
    return _prepared[0]


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the plan of the config that a call names."""
    config = read_config(options.config)
    return next((plan for plan in _prepared if plan.config is config), None) or Plan(config)


def chosen(plan: Plan, options: argparse.Namespace, by_default: bool = False) -> list[PlannedModel]:
    """Return the models that a call chooses; where it names none, all of them if that is meant `by_default`."""
    given = {name.removeprefix("axis_"): value for name, value in vars(options).items() if name.startswith("axis_")}
    axes = {axis: value for axis, value in given.items() if value is not None}
    everything = options.all or (by_default and not options.model and not axes)
    return [plan.planned(model.id) for model in select(plan.listed.values(), options.model, axes, everything)]


def exports_of(planned: PlannedModel, options: argparse.Namespace) -> list[str]:
    """Return the names of the exports of a model that a call is about; the workflow leaves out what cannot be made."""
    every = planned.exports if options.exit_zero else planned.model.exports
    return [planned.model.export(name).name for name in options.format] or [export.name for export in every]


def for_each_model(options: argparse.Namespace, run: Callable[[PlannedModel], None]) -> int:
    """Run a job for each model that a call chooses."""
    return for_each(options, ((planned,) for planned in chosen(plan_of(options), options)), run)


def for_each(options: argparse.Namespace, jobs: Iterable[tuple], run: Callable[..., None]) -> int:
    """Run all jobs, so that one broken model hides no other; raise the error of a single one, else print each."""
    todo = list(jobs)
    failed = 0
    for job in todo:
        try:
            run(*job)
        except Exception as error:
            if len(todo) == 1:
                raise
            log_traceback(options.log)
            print(f"error: {one_line(error)}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def in_parts(
    stage: Stage,
    subject: str,
    parts: Mapping[str, Part],
    options: argparse.Namespace,
    whole: bool,
    certificates: Collection[str] = (),
) -> bool:
    """Do the parts of a stage, each of which returns the files that it made; return whether all succeeded.

    A part that fails hides no other: its reason is printed and left where the report finds it. What became of the
    `whole` stage is recorded for Snakemake, with the `certificates` that the parts rest on, once they are done.
    """
    files: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name, run in parts.items():
        try:
            with reported(stage, subject, name):
                files |= {str(file): known_sha256(file) for file in run()}
        except BrokenPipeError:  # nobody reads what is printed any more: that is no failure of the model's
            raise
        except Exception as error:
            log_traceback(options.log)
            reasons[name] = in_words(error, options.log)
    for reason in dict.fromkeys(reasons.values()):
        print(f"error: {reason}", file=sys.stderr, flush=True)
    if whole:
        outcome = Outcome(
            subject=subject, stage=stage.rule, files=files, failed=tuple(reasons), certificates=tuple(certificates)
        )
        with suppress(OSError) if reasons else nullcontext():  # a folder that cannot be written was named above
            outcome.write(paths.outcome(subject, stage.rule))
    return not reasons


def print_json(value: Any) -> None:
    """Print what machines read."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def exit_code(succeeded: Iterable[bool], options: argparse.Namespace) -> int:
    """Return the exit code of stages that succeeded or not; the workflow leaves it to the gate."""
    return 0 if all([*succeeded]) or options.exit_zero else 1


@contextmanager
def reported(stage: Stage, model: str, name: str = "") -> Iterator[None]:
    """Leave the reason of a failure where the report finds it, and name the model in the error."""
    path = Path(paths.failure(stage.failure, model, name))
    path.unlink(missing_ok=True)
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        reason = one_line(error).removeprefix(f"{model}: ")
        Failure(model=model, stage=stage.failure, export=name, reason=reason).write(path)
        if isinstance(error, ModelferryError):
            raise type(error)(f"{model}: {reason}") from error
        raise
