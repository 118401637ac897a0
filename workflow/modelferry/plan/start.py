"""What a Snakemake start does before the rules are read: check the config, pass it on, keep other runs out."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelferry.config.file import ENVIRONMENT_VARIABLE, handed_on, parse_config, read_config
from modelferry.core import environment, job_server, paths
from modelferry.core.digests import digest_of
from modelferry.core.errors import ConfigError, ModelferryError
from modelferry.core.files import write_text
from modelferry.core.known_files import known_files
from modelferry.core.reading import read_yaml
from modelferry.core.running import RUN, wait_for_jobs
from modelferry.plan import Plan, chunks, reruns
from modelferry.plan.announcement import Announcement, choose_console
from modelferry.plan.leftovers import findings, mend, remove_unfinished, told
from modelferry.plan.reasons import ReadableReasons
from modelferry.plan.scheduling import look_again_once

STATE = Path(paths.STATE)
LOCK = STATE / "lock"

_held: list[int] = []
"""Locks of this process; the kernel lets go of them when it ends, however it ends."""


def begin(workflow: Any, config: dict[str, Any]) -> tuple[Plan, list[str]]:
    """Return the plan for a Snakemake config, and what to make; a mistake in it ends the start with one line.

    The commands that the rules call read the same config, ``--config`` and ``--configfile`` included, from a file named
    by its content, which also has what its patterns match now. So does a Snakemake that is a job of another one's run:
    it finds the name of the run set, and leaves the folder to the one that leads it.
    """
    announcement = Announcement(workflow)
    for addition in (ReadableReasons(), announcement):
        logging.getLogger("snakemake.logging").addFilter(addition)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    source, within = _place(workflow, config)
    chunks.delay_first_look_at_jobs()
    look_again_once()
    leads = workflow.is_main_process and RUN not in os.environ
    try:
        most = chunks.most_chunks(workflow)
        _check_module(workflow, most)
        if leads:
            os.environ[RUN] = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
            os.environ[environment.ISA] = _isa(several_machines=bool(most))
            choose_console(workflow)
        handed = None if leads else os.environ.get(ENVIRONMENT_VARIABLE)
        plan = Plan(read_config(handed) if handed else parse_config(config, source, within))
        announcement.plan = plan
        _find_mistakes(plan)
        text = handed_on(config, plan.config)
        _check_used_once(workflow, text)
        path = STATE / f"config-{digest_of(text, 16)}.json"
        if not path.exists():
            write_text(path, text)
        os.environ[ENVIRONMENT_VARIABLE] = str(path)
        if not workflow.subprocess_exec:  # a job that Snakemake runs in a Snakemake of its own: it shares the run's
            os.environ.update(job_server.announced())
        if leads:
            dry = workflow.output_settings.dryrun
            if not dry:
                keep_others_out()
                write_text(paths.CURRENT_RUN, os.environ[RUN])
                wait_for_jobs()
                remove_unfinished()
                job_server.remove_leftovers()
            found = list(findings(plan))
            for line in told(found):
                print(f"note: {line}" + (" in a real run" if dry else ""), file=sys.stderr)
            if dry:
                reruns.found.update({finding.path: finding.reason for finding in found if finding.removed})
            for finding in () if dry else found:
                mend(finding)
            known_files().tidy()
            if most:
                return plan, chunks.begin(plan, most, dry)
    except (ModelferryError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except (TypeError, ValueError, RecursionError) as error:  # a value that YAML has and JSON has not, such as a date
        print(f"error: {source} cannot be passed on: {error}", file=sys.stderr)
        sys.exit(1)
    return plan, plan.targets()


def _place(workflow: Any, config: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the file that a config was read from, and the key in it: a larger workflow hands on a part of its own."""
    whole = workflow.modifier_stack[0].globals["config"]
    return str([*workflow.configfiles, "config.yaml"][0]), tuple(key for key in whole if whole[key] is config)


def _check_module(workflow: Any, most: Mapping[str, int]) -> None:
    """Raise `ConfigError` if a larger workflow, which this one is a module of, asks for what does not work there."""
    modifier = workflow.modifier
    if modifier.is_main_snakefile():
        return
    if not modifier.skip_configfile:
        raise ConfigError("the module modelferry has no config", 'give it `config: config["modelferry"]`, or the like')
    if modifier.path_modifier.replace_prefix(paths.RESULTS) != paths.RESULTS:
        remedy = "leave it out: the files are in results/ and reports/; names of rules get a prefix by `use rule … as`"
        raise ConfigError("the module modelferry cannot have a `prefix:`", remedy)
    if most:
        remedy = "leave out set-scatter, or run in a folder of `modelferry init`"
        raise ConfigError("a larger workflow is not divided into chunks", remedy)


def _check_used_once(workflow: Any, text: str) -> None:
    """Raise `ConfigError` if a workflow uses this one with two configs; each `use rule` reads the rules again."""
    if vars(workflow).setdefault("modelferry_config", text) != text:
        raise ConfigError("the workflow uses modelferry with two configs", "put all campaigns into one")


def _isa(several_machines: bool) -> str:
    """Return the instruction set that `native` means in a run: what this machine has, or what most have."""
    return "avx2" if several_machines and environment.runs("avx2") else environment.native_isa()


def refuse_unreadable(path: str) -> None:
    """End the start with one line if a config is there and no YAML: Snakemake would show where its reader stopped."""
    try:
        if Path(path).exists():
            read_yaml(path, ConfigError)
    except ModelferryError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _find_mistakes(plan: Plan) -> None:
    """Raise what would otherwise come up in the middle of Snakemake's own work, as a traceback."""
    plan.templates  # noqa: B018 - building it is the check
    for planned in plan.runnable.values():
        if planned.model.demo:
            planned.demo_event_files()
        if planned.model.embed:
            planned.embedding.card  # noqa: B018 - reading it is the check
    for folder in (paths.RESULTS, paths.REPORTS, "logs"):
        Path(folder).mkdir(exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise ModelferryError(f"the folder {folder} cannot be written", "change its permissions, or run elsewhere")


def is_at_work() -> bool:
    """Return whether a run is at work in this folder."""
    try:
        handle = os.open(LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def keep_others_out() -> None:
    """Take the folder's lock, or raise `ModelferryError`.

    Snakemake's own lock outlives a killed run and then needs ``--unlock``; this one goes with the process.
    """
    STATE.mkdir(parents=True, exist_ok=True)
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode().strip() or "unknown"
        os.close(handle)
        raise ModelferryError(f"process {holder} already runs in {Path.cwd()}", "wait for it, or stop it") from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    _held.append(handle)
