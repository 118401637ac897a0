"""What the job server imports before it takes jobs: the code of the stages, and of the plan's networks."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import suppress

from modelferry.cli.jobs import prepare
from modelferry.config.file import config_path
from modelferry.core import known_files
from modelferry.families import family_module, load_family
from modelferry.formats import format_module, load_format
from modelferry.plan import Plan
from modelferry.plan.code_digest import modules_of
from modelferry.plan.stages import CERTIFY, OF_MODELS, WEIGHT_SETS
from modelferry.runtimes import lacking, load_runtime, paths_of


def preload() -> None:
    """Import what jobs of the run's config need, and parse it; nothing where there is none.

    What cannot be imported is left out: the job that needs it will say so.
    """
    if not config_path().is_file():
        return
    plan = prepare()
    plan.certified, plan.swept  # noqa: B018 - jobs look them up
    for module in dict.fromkeys(filter(None, modules(plan))):
        with suppress(Exception):
            importlib.import_module(module)
    known_files.forget()  # jobs find out what others have found out meanwhile


def modules(plan: Plan) -> Iterator[str]:
    """Yield the modules that jobs of all models import, and the libraries that load artifacts."""
    runnable = plan.runnable.values()
    formats = sorted({export.format for planned in runnable for export in planned.exports})
    networks = {
        module
        for planned in runnable
        for family in [planned.model.family]
        for module in (family_module(family), *load_family(family).modules(planned.hyperparameters))
    }
    stages = [stage.module for stage in (*OF_MODELS, WEIGHT_SETS, CERTIFY) if stage.module]
    yield from modules_of(*stages, *sorted(networks), *map(format_module, formats))
    for name in formats:
        yield from load_format(name).loads
        yield from (load_runtime(path).library for path in paths_of(name).values() if not lacking(path))
