"""What can be compared: a file of any format, a checkpoint with its family, a network in Python."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelferry.comparison.side import Declared, Side, declared, eager_side
from modelferry.core.errors import ArgumentError, ArtifactError, CheckpointError, ConfigError, ModelferryError, one_line
from modelferry.core.import_path import imported
from modelferry.core.network_copy import network_copy
from modelferry.families.trained import TrainedModel, load_checkpoint
from modelferry.formats import Runner, by_extension, format_of_file

if TYPE_CHECKING:
    import torch

THREADS = 1
KINDS = "a file of a format, a checkpoint with its --family, or a network as package.module:Name"


@dataclass(frozen=True)
class Opened:
    """A side with what it was opened from: the format of a file, or the model of a checkpoint."""

    side: Side
    format: str = ""
    model: TrainedModel | None = None


def open_side(what: Any, family: str | None = None, hyperparameters: Mapping[str, Any] | None = None) -> Opened:
    """Open one side.

    Parameters
    ----------
    what
        A path, an import path ``package.module:Name`` of a network or of what makes one, a network, or an artifact.
    family, hyperparameters
        Of a checkpoint.

    Raises
    ------
    ArtifactError
        If a file is missing or does not load.
    ArgumentError
        If it is nothing that can be compared.
    """
    import torch

    if isinstance(what, torch.jit.ScriptModule):
        raise ArgumentError("a module in TorchScript is in memory", "save it with torch.jit.save, and give its path")
    if isinstance(what, torch.nn.Module):
        return Opened(_network(type(what).__name__, what))
    if isinstance(what, TrainedModel):
        return Opened(what.side(), model=what)
    if isinstance(getattr(what, "run", None), Runner):
        return Opened(Side(str(what.path), what.run, declared(what.contract), contract=what.contract), what.format)
    if not isinstance(what, str | Path):
        raise ArgumentError(f"a {type(what).__name__} cannot be compared", f"give {KINDS}")
    path = Path(what)
    if not path.exists() and ":" in str(what) and not str(what).endswith(_endings()):
        return Opened(_network(str(what), _made(str(what))))
    if not path.is_file():
        raise ArtifactError(f"there is no file {path}", f"give {KINDS}")
    target = format_of_file(path)
    if target is not None:
        return Opened(target.open(path, THREADS), target.name)
    try:
        model = load_checkpoint(path, family=family, hyperparameters=hyperparameters)
    except (ConfigError, CheckpointError) as error:
        if family is None:
            raise type(error)(f"{path} is of no format that is known, and as a checkpoint: {error}") from error
        raise
    return Opened(model.side(), model=model)


def _endings() -> tuple[str, ...]:
    return tuple(f".{target.extension}" for target in by_extension())


def _made(path: str) -> torch.nn.Module:
    """Return the network at an import path: itself, or what its class or function makes without arguments."""
    import torch

    found = imported(path, "network")
    if not isinstance(found, torch.nn.Module) and callable(found):
        try:
            found = found()
        except ModelferryError:
            raise
        except Exception as error:  # a user's code may fail in any way
            remedy = "name a network, or a function without arguments that returns one with its weights"
            raise ArgumentError(f"{path} makes no network: {one_line(error)}", remedy) from error
    if not isinstance(found, torch.nn.Module):
        raise ArgumentError(f"{path} is a {type(found).__name__}", "name a network, or a function that returns one")
    return found


def _network(called: str, network: torch.nn.Module) -> Side:
    parameters = inspect.signature(network.forward).parameters.values()
    required = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if network.training:
        raise ArgumentError(f"{called} is in training mode", "call its `eval()` first")
    return eager_side(called, network_copy(network), tuple(map(Declared, required)), lambda copy: copy.double())
