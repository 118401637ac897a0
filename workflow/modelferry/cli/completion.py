"""Completion of commands, options and models in a shell, by argcomplete: ``modelferry[completion]``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any

from modelferry.config.file import read_config
from modelferry.core.errors import ModelferryError

VARIABLE = "_ARGCOMPLETE"
"""Set by the shell when it asks for completions."""


def complete(parser: argparse.ArgumentParser, **how: Any) -> None:
    """Answer the shell and end the process, if it is the shell that asks."""
    if VARIABLE in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser, **how)


def names_a_model(action: argparse.Action) -> None:
    """Let an option or argument be completed with the models of the config."""
    action.completer = _models  # type: ignore[attr-defined]


def _models(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    try:
        models = read_config(getattr(parsed_args, "config", None)).models()
    except ModelferryError:
        return
    yield from (model.id for model in models if model.id.startswith(prefix))
