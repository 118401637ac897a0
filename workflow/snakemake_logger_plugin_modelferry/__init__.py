"""Snakemake's logger plugin ``modelferry``, which Snakemake finds by the name of this package."""

from modelferry.cli.console import Console as LogHandler
from modelferry.cli.console import ConsoleSettings as LogHandlerSettings

__all__ = ["LogHandler", "LogHandlerSettings"]
