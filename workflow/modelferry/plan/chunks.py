"""A run divided into chunks, for clusters: tens of jobs of minutes instead of thousands of seconds.

What has to run is asked of Snakemake itself, once, and divided by models. Each chunk is a cluster job that starts a
Snakemake of its own on its share, so that a failing model fails alone and what is done stays done: of Snakemake's own
group jobs, all members lose their work when one fails. `docs/cluster.md` tells what was measured.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.config import Config
from modelferry.core import environment, paths
from modelferry.core.errors import ConfigError, ModelferryError, did_you_mean
from modelferry.core.running import RUN
from modelferry.plan import Plan
from modelferry.plan.leftovers import files_of
from modelferry.plan.models import unavailable
from modelferry.plan.nested import pending
from modelferry.plan.stages import STAGES
from modelferry.records.chunks import Chunk, Chunks
from modelferry.runtimes import lacking, paths_of


@dataclass(frozen=True)
class Kind:
    """Chunks of one kind.

    Attributes
    ----------
    after
        Kinds that come before.
    minutes
        What a unit takes at most.
    least
        Units that are worth a job of their own; None for what is never divided.
    """

    after: tuple[str, ...]
    minutes: int
    least: int | None = None


KINDS = {
    "shared": Kind((), 5),
    "models": Kind(("shared",), 3, least=5),
    "benchmarks": Kind(("shared", "models"), 2, least=30),
    "embeddings": Kind(("shared", "models"), 60, least=1),
    "explorations": Kind(("embeddings",), 15),
    "report": Kind(("shared", "models", "benchmarks", "embeddings", "explorations"), 15),
}
"""All kinds, in the order in which they run: what models share, models, their benchmarks on a node of their own, …"""
DIVIDED = [name for name, kind in KINDS.items() if kind.least]
"""Kinds that have several chunks: ``--set-scatter models=8`` says how many at most."""
TRIES = 3
"""A job that was lost, or in which something broke, is tried again with more memory and time, for what is missing."""
OF_RULES = {stage.rule: stage.chunk for stage in STAGES}

_plans: dict[str, Chunks] = {}


def most_chunks(workflow: Any) -> dict[str, int]:
    """Return how many chunks of each kind there may be, as ``--set-scatter`` says; empty if the run is not divided."""
    most = dict(workflow.resource_settings.overwrite_scatter)
    if unknown := next((name for name in most if name not in DIVIDED), None):
        raise ConfigError(f"--set-scatter: there is no '{unknown}'", did_you_mean(unknown, DIVIDED))
    return most


def delay_first_look_at_jobs() -> None:
    """Let the HTCondor plugin be set up before it looks at its jobs.

    Version 0.3.0 looks at once, in a thread. On a busy machine that is too early: the thread dies, and the run waits
    for its jobs for ever.
    """
    if plugin := sys.modules.get("snakemake_executor_plugin_htcondor"):
        plugin.common_settings.init_seconds_before_status_checks = 10


def begin(plan: Plan, most: Mapping[str, int], dry: bool) -> list[str]:
    """Divide the run that is about to start, leave the plan where its jobs find it, and return what they make."""
    run = os.environ[RUN]
    chunks = divide(plan, pending(), most)
    _plans[run] = Chunks(isa=environment.native_isa(), lacking=lacking_here(plan.config), chunks=chunks)
    if not dry:
        for folder in (paths.CHUNKS, paths.CHUNK_LOGS):
            shutil.rmtree(folder, ignore_errors=True)
        _plans[run].write(paths.chunk_plan(run))
    return targets(run, chunks)


def divide(plan: Plan, files: Mapping[str, str], most: Mapping[str, int]) -> dict[str, Chunk]:
    """Return the chunks that make `files`, which are given with their rules.

    What one job makes is never divided: all that is of one model and kind is in one chunk.
    """
    owner = dict(owners(plan))
    units: dict[str, dict[str, list[str]]] = {kind: {} for kind in KINDS}
    for file, rule in files.items():
        kind = _kind(rule)
        unit = {"shared": file, "report": kind}.get(kind) or owner.get(file, file)
        units[kind].setdefault(unit, []).append(file)
    names: dict[str, set[str]] = {}
    chunks: dict[str, Chunk] = {}
    for kind, of_kind in units.items():
        for number, share in enumerate(_shares(list(of_kind), most.get(kind, 1), KINDS[kind].least), start=1):
            after = tuple(name for name, earlier in names.items() if _follows(kind, share, name, earlier))
            made = tuple(file for unit in share for file in of_kind[unit])
            chunks[f"{kind}-{number}"] = Chunk(units=len(share), files=made, after=after)
            names[f"{kind}-{number}"] = set(share)
    return chunks


def plan_of_run(run: str) -> Chunks:
    """Return the plan of a run; the process that leads the run has made it, and others read it."""
    if run not in _plans:
        _plans[run] = Chunks.read(paths.chunk_plan(run))
    return _plans[run]


def targets(run: str, names: Iterable[str]) -> list[str]:
    """Return the files that the jobs of these chunks leave."""
    return [paths.chunk(run, name) for name in names]


def minutes(kind: str, chunk: Chunk) -> int:
    """Return the time that a chunk may take."""
    return 10 + KINDS[kind].minutes * chunk.units


def lacking_here(config: Config) -> dict[str, str]:
    """Return what this machine lacks of the formats and runtimes of a config, with the reasons."""
    formats = {export.format for campaign in config.campaigns.values() for export in campaign.exports}
    runtimes = {name: path for format in formats for name, path in paths_of(format).items()}
    reasons = {
        **{f"format {name}": unavailable(name) for name in sorted(formats)},
        **{f"runtime {name}": lacking(path) for name, path in sorted(runtimes.items())},
    }
    return {name: reason for name, reason in reasons.items() if reason}


def check_node(chunks: Chunks, config: Config) -> None:
    """Raise `ModelferryError` if this machine cannot do what the planning one counted on."""
    node = os.uname().nodename
    if not environment.runs(chunks.isa):
        reason = f"node {node} has {environment.isa()}, and this run compiles for {chunks.isa}"
        raise ModelferryError(reason, "ask for other nodes in the profile, or for another `isa` in config.yaml")
    if lacks := [reason for name, reason in lacking_here(config).items() if name not in chunks.lacking]:
        raise ModelferryError(f"node {node} lacks what this run was planned with: {'; '.join(lacks)}")


def _kind(rule: str) -> str:
    names = [name for name in OF_RULES if rule == name or rule.startswith(f"{name}_")]
    return OF_RULES[max(names, key=len)] if names else "report"


def owners(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the files that the workflow makes for one model, each with the model's id."""
    for name, planned in plan.runnable.items():
        yield from ((path, name) for path, _ in files_of(planned))
    yield from ((paths.embedding_tables(name), name) for name in plan.embedded)


def _shares(names: Sequence[str], most: int, least: int | None) -> list[Sequence[str]]:
    """Divide names into at most so many shares, as equal as can be, and into fewer where each has less than `least`."""
    count = min(most, -(-len(names) // (least or len(names)))) if names else 0
    return [names[len(names) * i // count : len(names) * (i + 1) // count] for i in range(count)]


def _follows(kind: str, share: Sequence[str], name: str, earlier: set[str]) -> bool:
    before = name.rpartition("-")[0]
    everything = before == "shared" or kind in ("explorations", "report")
    return before in KINDS[kind].after and (everything or not earlier.isdisjoint(share))
