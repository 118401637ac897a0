"""What earlier runs left in the folder of the workflow: files that are whole stay, and all others are made again.

Looked at before the DAG is built: Snakemake takes a file that is there for one that is done. What was found out about a
file is known until it changes (`core.known_files`), so that a start asks for little more than the times of files.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelferry.core import paths
from modelferry.core.errors import first_few
from modelferry.core.known_files import known_files, known_sha256
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import BENCHMARK, CERTIFY, EXPORT, VALIDATE, WEIGHT_SETS
from modelferry.records.demo import DemoTraining
from modelferry.records.embeddings import EmbeddedFile, Embeddings, Exploration
from modelferry.records.outcome import Outcome
from modelferry.records.summary import Summary

Look = Callable[[str], str]
"""Returns what is wrong with a file that is there; nothing if it is whole."""
FAILED = "tells of a failure"
"""A failure may have passed: what failed is tried again by the next run."""
AHEAD = 1.0
"""Seconds that clocks of two machines may differ."""


@dataclass(frozen=True)
class Finding:
    """A file that an earlier run left, and what is wrong with it."""

    path: str
    reason: str
    removed: bool = True
    """Whether it is of no use, or only dated in the future."""

    def __str__(self) -> str:
        """Say what is done about it."""
        deed = "it is made again" if self.removed else "it is dated now"
        return f"{self.path} {self.reason}; {deed}"


def findings(plan: Plan) -> Iterator[Finding]:
    """Yield the files of a plan that are there and are not what they should be; an altered file takes its record along.

    Snakemake would drop what is made of a file that is dated in the future.
    """
    latest = time.time() + AHEAD
    for path, look in own_files(plan):
        try:
            dated = Path(path).stat().st_mtime
        except OSError:
            continue
        if reason := look(path):
            yield Finding(path, reason)
            continue
        yield from altered_beside(path, look)
        if dated > latest:
            yield Finding(path, "is dated in the future", removed=False)
    for path in inputs(plan):
        if Path(path).exists() and Path(path).stat().st_mtime > latest:
            yield Finding(path, "is dated in the future", removed=False)


def told(found: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each finding, and one for all failures together."""
    failures = [finding for finding in found if finding.reason == FAILED]
    yield from (str(finding) for finding in found if finding.reason != FAILED)
    if failures:
        yield f"what failed in an earlier run is tried again: {first_few([one.path for one in failures])}"


def mend(finding: Finding) -> None:
    """Remove a file that is of no use, or date it now."""
    path = Path(finding.path)
    if not finding.removed:
        os.utime(path)
    elif Path(os.path.relpath(path)).parts[0] in (paths.RESULTS, paths.REPORTS):  # whatever a record says
        path.unlink(missing_ok=True)


def remove_unfinished() -> None:
    """Remove the temporary files and folders that a killed run left."""
    for path in Path(paths.RESULTS).rglob(".*.part"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def inputs(plan: Plan) -> Iterator[str]:
    """Yield the files of the user's that the jobs read."""
    for planned in plan.runnable.values():
        model = planned.model
        yield from (*([] if model.demo else [model.checkpoint]), *model.events, *model.embed_files)


def own_files(plan: Plan) -> Iterator[tuple[str, Look]]:
    """Yield the files that the workflow writes, each with what tells whether it is whole."""
    for planned in plan.runnable.values():
        yield from files_of(planned)
    templates = [
        *(spec.outcome for spec in plan.templates.values()),
        *(paths.outcome(f"templates/{key}", CERTIFY.rule) for key in plan.certified),
        *(paths.outcome(f"templates/{one.architecture}", WEIGHT_SETS.rule) for one, _ in plan.certified.values()),
        *(file for key in plan.templates for file in plan.runtime_files(key)),
    ]
    yield from ((path, Outcome.damage) for path in dict.fromkeys(templates))
    for campaign in plan.explored:
        yield paths.exploration(campaign), Exploration.damage
    yield paths.SUMMARY, Summary.damage
    yield paths.REPORT, _content
    yield paths.REPORT_PAGE, _content
    yield paths.GATE, _content


def files_of(planned: PlannedModel) -> Iterator[tuple[str, Look]]:
    """Yield the files that the workflow writes for one model, each with what tells whether it is whole."""
    name, model = planned.id, planned.model
    yield from ((planned.outcome(stage), Outcome.damage) for stage in (EXPORT, VALIDATE, BENCHMARK))
    if model.demo:
        yield model.checkpoint, _zip
        yield paths.training(model.checkpoint), DemoTraining.damage
        yield from ((path, _content) for path in planned.demo_event_files())
    if model.embed and planned.exports:
        yield from ((path, EmbeddedFile.damage) for path in planned.embedding.records())
        yield from ((path, _parquet) for path in planned.embedding.parts())
        yield paths.embeddings(name), Embeddings.damage


def altered_beside(path: str, look: Look) -> Iterator[Finding]:
    """Yield the files that a whole record has digests of, and that have other bytes now, and the record itself."""
    kind = getattr(look, "__self__", None)
    if not isinstance(kind, type) or not issubclass(kind, Outcome | Embeddings):
        return
    digests = json.loads(known_files().ask(path, "files", lambda path: json.dumps(_digests(kind, path))))
    lost = [file for file in digests if not Path(file).is_file()]
    altered = [file for file, digest in digests.items() if file not in lost and known_sha256(file) != digest]
    yield from (Finding(file, f"is not the file that {path} describes") for file in altered)
    if altered:
        yield Finding(path, "describes a file that was altered")
    elif lost:
        yield Finding(path, f"describes {lost[0]}, which is gone")
    elif issubclass(kind, Outcome) and known_files().ask(path, "failed", _failures):
        yield Finding(path, FAILED)


def _digests(kind: type[Outcome | Embeddings], path: Path) -> Mapping[str, str]:
    record = kind.read(path)
    if isinstance(record, Outcome):
        return record.files
    return {file.path: file.sha256 for table in record.tables for file in (table.csv, table.parquet)}


def _failures(path: Path) -> str:
    return str(len(Outcome.read(path).failed) or "")


def _content(path: str) -> str:
    return "" if Path(path).stat().st_size else "is empty"


def _zip(path: str) -> str:
    def find(path: Path) -> str:
        try:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
        except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            return f"is damaged: {error}"
        return f"is damaged: {broken}" if broken else ""

    return known_files().ask(path, "zip", find)


def _parquet(path: str) -> str:
    """Look for the mark at both ends, which is written first and last."""
    with Path(path).open("rb") as file:
        start = file.read(4)
        file.seek(max(0, Path(path).stat().st_size - 4))
        return "" if start == file.read(4) == b"PAR1" else "is damaged"
