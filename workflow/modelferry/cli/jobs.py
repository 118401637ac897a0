"""What commands share: the plan, the models that a call chose, and failures that hide no other model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelferry.cli.selection import select
from modelferry.config.file import read_config
from modelferry.core import paths
from modelferry.core.errors import ModelferryError, log_traceback, one_line
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel, plan_model
from modelferry.plan.stages import Stage
from modelferry.records.failure import Failure


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the plan of the config that a call names."""
    return Plan(read_config(options.config))


def chosen(plan: Plan, options: argparse.Namespace) -> list[PlannedModel]:
    """Return the models that a call chooses."""
    given = {name.removeprefix("axis_"): value for name, value in vars(options).items() if name.startswith("axis_")}
    axes = {axis: value for axis, value in given.items() if value is not None}
    return [plan_model(model) for model in select(plan.config.models(), options.model, axes, options.all)]


def chosen_exports(plan: Plan, options: argparse.Namespace) -> list[tuple[PlannedModel, str]]:
    """Return the models that a call chooses, with each of the exports that it is about."""
    return [
        (planned, planned.model.export(name).name)
        for planned in chosen(plan, options)
        for name in options.format or [export.name for export in planned.model.exports]
    ]


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


@contextmanager
def reported(stage: Stage, model: str, name: str = "") -> Iterator[None]:
    """Leave the reason of a failure where the report finds it, and name the model in the error."""
    path = Path(paths.failure(stage.failure, model, name))
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        reason = one_line(error).removeprefix(f"{model}: ")
        Failure(model=model, stage=stage.failure, export=name, reason=reason).write(path)
        if isinstance(error, ModelferryError):
            raise type(error)(f"{model}: {reason}") from error
        raise
