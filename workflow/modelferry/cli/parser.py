"""The parser of the command line: its errors, its help, and where tracebacks go."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from modelferry.cli.catalogue import catalogue
from modelferry.config.file import config_path
from modelferry.core.errors import ConfigError, did_you_mean

LOG = "logs/modelferry.log"
"""Where tracebacks go in the folder of a campaign."""
ELSEWHERE = "modelferry/modelferry.log"
"""Where they go otherwise, in the user's folder for logs."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are modelferry's."""

    lists_names = False
    """Whether its help ends with all formats and families."""

    def error(self, message: str) -> NoReturn:
        """Leave it to `main` to say so in one line."""
        raise ConfigError(message, "see `modelferry --help`")

    def format_help(self) -> str:
        """Return the help, with the formats and families if it names them."""
        text = super().format_help()
        return f"{text}\n{catalogue()}" if self.lists_names else text

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = "command" if isinstance(action, argparse._SubParsersAction) else "/".join(action.option_strings)
            raise ConfigError(f"there is no {what} '{value}'", did_you_mean(str(value), map(str, action.choices)))


def default_log(config: str | None) -> str:
    """Return the file for tracebacks: the folder of a campaign has one, and a config or a Snakefile makes it that."""
    if config_path(config).is_file() or Path("Snakefile").is_file():
        return LOG
    return str(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state", ELSEWHERE))


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the long options of a parser, as its help lists them."""
    text = argparse.ArgumentParser.format_help(parser)
    return re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
