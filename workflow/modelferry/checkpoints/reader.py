"""Trained weights from any of the files people keep them in, always without running code from the file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modelferry.checkpoints.shapes import SAFETENSORS, read_content, state_dict_in
from modelferry.checkpoints.trusted import trusted_classes
from modelferry.core.errors import CheckpointError, ModelferryError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

PREFIXES = ("module.", "mod.", "_orig_mod.", "model.", "net.")
COUNTER = "num_batches_tracked"
SAFE_WAYS = "save `model.state_dict()` alone with torch.save, or as .safetensors, and use that file"
ALLOWING = (
    "or, if it is a class that you trust, name it: `trusted_classes: ['{0}:{2}']` in config.yaml, --trust {0}:{2} on "
    "the command line, torch.serialization.add_safe_globals in Python"
)


def load_state_dict(path: Path | str) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU.

    Takes bare state dicts, dicts that hold one, Lightning checkpoints, old and new files of ``torch.save``,
    and safetensors. Prefixes that wrappers add (``module.``, …) are kept; `fit` removes them.

    Raises
    ------
    CheckpointError
        If the file is missing, no checkpoint, or would have to run code to be read.
    """
    path = Path(path)
    if path.suffix == SAFETENSORS:
        return _load_safetensors(path)
    import torch

    return state_dict_in(load_content(path), path, torch.Tensor)


def load_content(path: Path) -> Any:
    """Return all that a file of ``torch.save`` holds, tensors on the CPU; raise `CheckpointError` as above."""
    import torch

    read_content(path)  # what would hang or fill the memory is refused here
    try:
        with torch.serialization.safe_globals([*trusted_classes()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except ModelferryError:
        raise
    except pickle.UnpicklingError as error:
        name = re.search(r"(?:GLOBAL |Unsupported class |unsupported GLOBAL )([\w.]+)", str(error))
        if name is None:
            raise CheckpointError(f"{path} is not a checkpoint that torch can read", SAFE_WAYS) from error
        message = f"{path} is refused: reading it would run or import '{name.group(1)}'"
        raise CheckpointError(message, f"{SAFE_WAYS}; {ALLOWING.format(*name.group(1).rpartition('.'))}") from error
    except Exception as error:  # a damaged file can break the reader anywhere
        raise CheckpointError(f"{path} is not a checkpoint that torch can read", "is it complete?") from error


def facts_beside(path: Path | str) -> dict[str, str | int | float]:
    """Return the plain values that stand in a readable checkpoint beside its tensors, such as an accuracy."""
    path = Path(path)
    if path.suffix == SAFETENSORS:
        return {}
    content = load_content(path)
    return {str(key): value for key, value in content.items() if isinstance(value, str | int | float)}


def hyperparameters_inside(path: Path | str) -> dict[str, Any]:
    """Return the arguments of its network that a Lightning checkpoint holds; none for any other file."""
    path = Path(path)
    if path.suffix == SAFETENSORS:
        return {}
    content = load_content(path)
    found = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    return {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_content(path)
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}", "is it complete?") from error


def without_prefixes(state: Mapping[str, T]) -> Iterator[dict[str, T]]:
    """Yield the state dict as it is, then with each prefix removed that all its keys share."""
    current = dict(state)
    while True:
        yield current
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in current)), None)
        if prefix is None or not current:
            return
        current = {key.removeprefix(prefix): value for key, value in current.items()}


def fit(state: Mapping[str, torch.Tensor], network: torch.nn.Module, path: Path | str) -> dict[str, torch.Tensor]:
    """Return `state` with the keys and shapes of `network`, exactly.

    A missing ``num_batches_tracked`` is filled in: old files lack it and evaluation ignores it.

    Raises
    ------
    CheckpointError
        With the keys and shapes that differ, or the tensors that hold NaN or infinity.
    """
    wanted = network.state_dict()
    best = max(without_prefixes(state), key=lambda candidate: len(candidate.keys() & wanted.keys()))
    counters = {key: value for key, value in wanted.items() if key.endswith(COUNTER) and key not in best}
    best = {**best, **counters}
    problems = [
        *_some("missing", [key for key in wanted if key not in best]),
        *_some("not expected", [key for key in best if key not in wanted]),
        *_some(
            "of other shape",
            [
                f"{key} {tuple(best[key].shape)} instead of {tuple(value.shape)}"
                for key, value in wanted.items()
                if key in best and best[key].shape != value.shape
            ],
        ),
    ]
    if problems:
        expected = f"{type(network).__name__} has {len(wanted)} tensors"
        raise CheckpointError(f"{path} does not fit: {'; '.join(problems)}", f"{expected}: is it another network's?")
    broken = [key for key in wanted if best[key].is_floating_point() and not best[key].isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: {', '.join(broken[:5])} not finite", "train again; NaN cannot be exported")
    return {key: best[key].to(value.dtype) for key, value in wanted.items()}


def _some(what: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"{what}: {', '.join(names[:4])}{more}"] if names else []
