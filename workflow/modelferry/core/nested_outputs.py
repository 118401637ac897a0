"""Named outputs: tuples, lists, dicts, dataclasses and named tuples of tensors, nested in any way, as one flat tuple.

Runtimes know a network's outputs by position and name. The order is that in which the network gives them: fields of a
dataclass or named tuple and keys of a dict as they come. Names are paths, joined by ``_``: ``boxes``, ``features_0``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelferry.core.errors import NetworkError

if TYPE_CHECKING:
    import torch

ONLY = "output"
"""The name of an output that has no other; several are ``output_0``, ``output_1``."""


def named(value: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of what a network returned, by name, in order; entries that are None are left out.

    Raises
    ------
    NetworkError
        If there is anything else in it, no tensor at all, or two tensors would have the same name.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path, tensor in _leaves(value, ()):
        name = "_".join(path) if path and not path[0].isdigit() else "_".join((ONLY, *path))
        if name in tensors:
            raise NetworkError(f"two outputs of the network would be called '{name}'", "rename one of them")
        tensors[name] = tensor
    if not tensors:
        raise NetworkError("the network returns no tensor", "return what is to be computed from `forward`")
    return tensors


def flat(value: Any) -> tuple[torch.Tensor, ...]:
    """Return the tensors of what a network returned, in the order of `named`."""
    import torch

    if isinstance(value, torch.Tensor):  # compiled networks return these two, and event loops call them
        return (value,)
    if type(value) in (list, tuple) and all(isinstance(entry, torch.Tensor) for entry in value):
        return tuple(value)
    return tuple(tensor for _, tensor in _leaves(value, ()))


def return_tuple(network: torch.nn.Module) -> torch.nn.Module:
    """Let `network` itself return the flat tuple of its outputs, by a hook, and return it.

    The names of its weights stay; a network that returns one tensor, or a tuple of tensors, stays as it is.
    Tracing and ``torch.export`` follow the hook, ``torch.jit.script`` does not.
    """
    network.register_forward_hook(_flatten)
    return network


def _flatten(network: torch.nn.Module, inputs: Any, result: Any) -> Any:
    import torch

    return result if isinstance(result, torch.Tensor) else flat(result)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
    elif value is not None:
        for key, entry in _entries(value, path):
            yield from _leaves(entry, (*path, str(key)))


def _entries(value: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    else:
        where = f" as '{'_'.join(path)}'" if path else ""
        remedy = "return tensors, or tuples, lists, dicts or dataclasses of tensors"
        raise NetworkError(f"the network returns a {type(value).__name__}{where}, which is not a tensor", remedy)
