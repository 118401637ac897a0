"""Where in a user's own code an exporter stumbled: errors of exporters in terms of what to change there."""

from __future__ import annotations

import io
import linecache
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core.errors import ControlFlowError, ModelferryError, NetworkError, ScriptingError

if TYPE_CHECKING:
    import torch

BAKED = "trace might not generalize"
"""What PyTorch says where a Python number, condition or array was made of a tensor while tracing."""
INSTEAD = "use torch.where or masks instead of Python's `if`, `while` and numbers"
CONSTANT = "a trace would keep what this one example gives, for all calls"


@contextmanager
def traced_faithfully(network: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> Iterator[None]:
    """Raise `ControlFlowError` if what is traced inside made something of a tensor's values that no trace can hold.

    Decisions that depend on sizes alone pass: the library has many, and validation at all sizes sees those that matter.
    """
    with warnings.catch_warnings(record=True) as seen:
        warnings.filterwarnings("always", message=f".*{BAKED}")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield
    baked = [warning for warning in seen if BAKED in str(warning.message) and not _is_library(warning.filename)]
    if baked and (line := _decides_by_values(network, inputs)) is not None:
        line = line or _shown(baked[0].filename, baked[0].lineno)
        raise ControlFlowError(f"the network decides by values at {line}: {CONSTANT}", INSTEAD)


@contextmanager
def no_graph_on_failure() -> Iterator[None]:
    """Keep PyTorch from printing the graph that it could not complete: the error tells where the network stopped it."""
    logger, held = logging.getLogger("torch.fx.experimental.symbolic_shapes"), io.StringIO()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(held):
            yield
        sys.stderr.write(held.getvalue())
    finally:
        logger.setLevel(level)


def line_of(error: BaseException) -> str:
    """Return the line of the user's code in which an error arose: file, number and text; empty if it was elsewhere."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_file()]
    own = [frame for frame in frames if not _is_library(frame.filename)]
    if not own or _is_machinery(own[-1].filename):
        return ""
    return _shown(own[-1].filename, own[-1].lineno or 0)


def not_followed(error: Exception) -> NetworkError | None:
    """Return what to raise for an error of ``torch.export`` on a network; None if no code of a user is to blame."""
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    line = line_of(error)
    if isinstance(error, ModelferryError) or not line:
        return None
    if isinstance(error, GuardOnDataDependentSymNode):
        return ControlFlowError(f"the network decides by values at {line}: an exported graph has no branches", INSTEAD)
    return NetworkError(f"torch.export cannot follow the network at {line}: {_first_line(error)}", "write it otherwise")


def not_scripted(error: Exception, called: str) -> ScriptingError:
    """Return what to raise for an error of ``torch.jit.script``."""
    lines = str(error).strip().splitlines()
    reason = next((line.strip(" :") for line in lines if line.strip()), type(error).__name__)
    lines_of_code = [(file, int(number)) for file, number in re.findall(r'File "(.+?)", line (\d+)', str(error))]
    own = [line for line in lines_of_code if not _is_library(line[0])]
    at = f" at {_shown(*own[0])}" if own else ""
    remedy = (
        "write that line in what TorchScript knows, mark methods that `forward` does not need with @torch.jit.ignore"
    )
    return ScriptingError(f"{called} cannot be scripted{at}: {reason}", f'{remedy}, or use method="trace"')


def _decides_by_values(network: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> str | None:
    """Run the network on tensors that have sizes but no values; return where it needs one, None if nowhere."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with torch.no_grad(), mode, _quiet():
            network(*(mode.from_tensor(tensor) for tensor in inputs))
    except Exception as error:  # whatever needs a value fails in its own way
        return line_of(error)
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_library(file: str) -> bool:
    import torch

    return Path(file).is_relative_to(Path(torch.__file__).parent) or file.startswith("<")


def _is_machinery(file: str) -> bool:
    here = Path(__file__).parents[2]
    return Path(file).is_relative_to(here) and not Path(file).is_relative_to(here / "families")


def _shown(file: str, line: int) -> str:
    text = linecache.getline(file, line).strip()
    return f"{file}, line {line}" + (f" (`{text}`)" if text else "")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
