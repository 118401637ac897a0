"""What a stage left of a model or a template, and what of it failed."""

from __future__ import annotations

from collections.abc import Mapping

from modelferry.records import Record


class Outcome(Record):
    """`<stage>.done.json`: the files that one job made, by path with their SHA-256, and the parts that failed.

    It is the one file of a job that Snakemake knows. A part that failed left its reason in `logs/failures`, and hides
    no other part: the job itself succeeds, and the gate fails the run.
    """

    subject: str
    stage: str
    files: Mapping[str, str]
    failed: tuple[str, ...]
    certificates: tuple[str, ...] = ()
    """Those that a validation inherits from."""
