"""Errors that are the user's to fix: each names the thing, the place and the remedy, on one line."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

TORCHSCRIPT_TRACEBACK = "The following operation failed in the TorchScript interpreter."


class ModelferryError(Exception):
    """A mistake in the input or the surroundings; shown as one line, without a traceback.

    Parameters
    ----------
    message
        What is wrong, naming the file, key or model.
    remedy
        What to do about it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message}; {remedy}")


class ConfigError(ModelferryError):
    """`config.yaml` or a command-line option asks for something that does not exist."""


class CheckpointError(ModelferryError):
    """A checkpoint is missing, unsafe, unreadable, or does not fit the network."""


class EventFileError(ModelferryError):
    """A file of events is truncated or lacks a tree or branch."""


class ArtifactError(ModelferryError):
    """An artifact or template is missing, altered, or made for other surroundings."""


class ContractError(ModelferryError):
    """Inputs break the input contract: name, dtype, shape or range."""


class ArgumentError(ModelferryError, ValueError):
    """A function of the Python API was called without something it needs, or with something it cannot take."""


class NetworkError(ModelferryError):
    """A network cannot be exported as it is written; the remedy says what to change."""


class ScriptingError(NetworkError):
    """``torch.jit.script`` cannot compile the network."""


class ControlFlowError(NetworkError):
    """The network decides by values that are known only when it runs; the message names the line."""


class UnsupportedOperatorError(NetworkError, ArtifactError):
    """A format, or the runtime that executes it, lacks an operator of the network."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the nearest known word, else the list of all known words."""
    options = sorted(known)
    near = get_close_matches(word, options, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(options) or 'none'}"


def first_few(items: Sequence[str]) -> str:
    """Return the first three of `items`, and a mark if there are more."""
    return "; ".join(items[:3]) + ("; …" if len(items) > 3 else "")


def one_line(error: Exception) -> str:
    """Return an error as one line; one that is not the user's to fix is called unexpected.

    That is its first line, or of an error inside TorchScript, which begins with a traceback, the last one.
    """
    if isinstance(error, ModelferryError):
        return str(error)
    lines = str(error).strip().splitlines() or [""]
    said = lines[-1].removeprefix("RuntimeError: ") if lines[0] == TORCHSCRIPT_TRACEBACK else lines[0]
    return f"unexpected {type(error).__name__}: {said}"


def in_words(error: Exception, log: str) -> str:
    """Return what a user is told of an error, in one line: what to do, or where the traceback is."""
    if isinstance(error, ModelferryError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}; is it there, and may you write it?"
    return f"{one_line(error)}; the traceback is in {log}"


def log_traceback(path: str) -> None:
    """Append the traceback to a log; a log that cannot be written must not hide the error."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("a") as file:
            traceback.print_exc(file=file)
    except OSError:
        traceback.print_exc()
