"""The report before this one: Snakemake deletes the old summary before the new one is written, so a copy is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelferry.core.errors import ArtifactError
from modelferry.records import Record
from modelferry.records.summary import Summary
from modelferry.stages.report.changes import changes


class History(Record):
    """The last two reports that differ in more than timings."""

    current: Summary
    previous: Summary | None


@contextmanager
def previous_report(summary: Summary, path: Path) -> Iterator[Summary | None]:
    """Give the report to compare `summary` with, and remember `summary` once it has been written.

    A report that is written again with the same facts, as after a failed run, is compared with the same one as before.
    """
    try:
        history = History.read(path)
    except ArtifactError:
        history = None
    if history is None:
        new = History(current=summary, previous=None)
    elif changes(history.current, summary):
        new = History(current=summary, previous=history.current)
    else:
        new = History(current=summary, previous=history.previous)
    yield new.previous
    new.write(path)
