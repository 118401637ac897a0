"""A run in chunks: what each cluster job is to make."""

from __future__ import annotations

from collections.abc import Mapping

from modelferry.core.model import Part
from modelferry.records import Record


class Chunk(Part):
    """What one cluster job makes.

    Attributes
    ----------
    units
        How many models, or whatever it is made of.
    files
        Files to make.
    after
        Names of the chunks that come before this one.
    """

    units: int
    files: tuple[str, ...]
    after: tuple[str, ...]


class Chunks(Record):
    """`.snakemake/modelferry/chunks/<run>/plan.json`: the chunks of a run by name, each after those that it needs.

    Attributes
    ----------
    isa
        The instruction set that all of them compile for.
    lacking
        Formats and runtimes that the planning machine lacks, each with the reason: they are left out everywhere.
    """

    isa: str
    lacking: Mapping[str, str]
    chunks: Mapping[str, Chunk]
