"""The models of a config: the state of each, and why a run would do something for one of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from modelferry.cli.job_log import is_at_work
from modelferry.cli.jobs import plan_of, print_json
from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ModelferryError
from modelferry.plan import Plan, start
from modelferry.plan.leftovers import FAILED
from modelferry.plan.models import PlannedModel
from modelferry.plan.nested import PlannedJob, would_run
from modelferry.plan.stages import BENCHMARK, DEMO, EXPORT, VALIDATE
from modelferry.records.outcome import Outcome

OF_MODEL = (DEMO, EXPORT, VALIDATE, BENCHMARK)
"""Stages with a job for each model, in their order."""
FOLLOWS = "Input files updated by another job"
"""A reason that another job has."""


class ModelState(BaseModel):
    """What `modelferry models` tells of a model: `not run`, `running`, `stale`, `passed`, `failed` or `missing`."""

    id: str
    state: str
    reason: str = ""


def models(options: argparse.Namespace) -> int:
    """List all models with their state: not run, running, stale, passed, failed or missing.

    A model is stale if a run would do something for it again; `modelferry why MODEL` tells why. Snakemake is asked for
    that, which takes some seconds.
    """
    plan = plan_of(options)
    known = plan.listed
    try:
        pending = would_run(options.config)
    except ModelferryError as error:
        print(f"note: which models are stale is not known: {error}", file=sys.stderr)
        pending = []
    states = [*_states(plan, pending)]
    if options.json:
        print_json([state.model_dump() | {"axes": known[state.id].axes} for state in states])
        return 0
    width = max((len(state.id) for state in states), default=0)
    for state in states:
        print(f"{state.id:<{width}}  {state.state:<8} {state.reason}".rstrip())
    return 0


def why(options: argparse.Namespace) -> int:
    """Tell what a run would do for a model, and because of what."""
    plan = plan_of(options)
    planned = plan.model(options.id)
    jobs = [] if planned.problem else [*_jobs_of(planned, would_run(options.config))]
    if options.json:
        print_json({"model": planned.id, "problem": planned.problem, "jobs": [job.model_dump() for job in jobs]})
    elif planned.problem:
        print(f"nothing can run: {planned.problem}")
    elif not jobs:
        print("nothing would run: everything is up to date")
    else:
        for job in jobs:
            about = " ".join(value for name, value in job.wildcards.items() if name != "model")
            print(f"{' '.join(filter(None, [job.rule, about]))}: {job.reason}")
    return 0


def _states(plan: Plan, pending: Iterable[PlannedJob]) -> Iterator[ModelState]:
    """Yield the state of each model, given the jobs that a run would do."""
    from modelferry.stages.report.collect import Recorded

    reasons: dict[str, list[str]] = {}
    for job in pending:
        reasons.setdefault(job.wildcards.get("model", ""), []).append(job.reason)
    begun = Path(paths.CURRENT_RUN).stat().st_mtime if start.is_at_work() else None
    for name, planned in plan.models.items():
        recorded = Recorded.read(planned)
        found = ModelState(id=name, state="passed")
        stale, again = "; ".join(_causes(reasons.get(name, ()))), next(iter(reasons.get(name, ())), "")
        if planned.model.missing:
            found = ModelState(id=name, state="missing", reason=planned.problem)
        elif begun is not None and any(is_at_work(stage.log(name), begun) for stage in OF_MODEL):
            found = ModelState(id=name, state="running")
        elif recorded.broken and not stale:
            found = ModelState(id=name, state="failed", reason="; ".join(dict.fromkeys(recorded.broken)))
        elif not (recorded.exported or recorded.broken):
            found = ModelState(id=name, state="not run")
        elif again or recorded.problems:
            found = ModelState(id=name, state="stale", reason=stale or again or "; ".join(recorded.problems))
        yield found


def _causes(reasons: Iterable[str]) -> Iterator[str]:
    """Yield what jobs run again for: not that something failed, and not that another job runs."""
    parts = dict.fromkeys(part for reason in reasons for part in reason.split("; "))
    yield from (part for part in parts if FAILED not in part and not part.startswith(FOLLOWS))


def _jobs_of(planned: PlannedModel, jobs: Iterable[PlannedJob]) -> Iterator[PlannedJob]:
    """Yield the jobs that a model has, alone or with others: those of its architecture and templates too."""
    keys = {planned.template(export.name).key for export in planned.exports}
    for job in jobs:
        facts = job.wildcards
        key = f"{facts.get('architecture')}/{facts['variant']}" if "variant" in facts else ""
        shared = key in keys if key else facts.get("architecture") == planned.architecture
        if facts.get("model") == planned.id or shared:
            yield job


def log_of(planned: PlannedModel) -> str:
    """Return the log of the first stage in which something of a model failed, or else of its validation.

    Empty if there is none.
    """
    failing = [stage for stage in OF_MODEL if _failed(planned.outcome(stage))]
    logs = [stage.log(planned.id) for stage in [*failing, VALIDATE, *OF_MODEL]]
    return next((log for log in logs if Path(log).is_file()), "")


def _failed(outcome: str) -> bool:
    try:
        return bool(Outcome.read(outcome).failed)
    except ArtifactError:
        return False
