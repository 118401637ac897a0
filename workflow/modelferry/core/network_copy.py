"""A copy of a network as it stands, made ready for export; the network itself is left exactly as it is.

Nothing is patched and nothing switched back: whoever holds the network may go on training it meanwhile.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from modelferry.core.errors import NetworkError

if TYPE_CHECKING:
    import torch

TRAINERS = ("_trainer", "_fabric")
"""What modules of Lightning know of their training; it stays behind."""
COMPILED, PARALLEL = "_orig_mod", "module"
"""Where ``torch.compile`` and DataParallel keep the network that they wrap."""


def network_copy(network: torch.nn.Module) -> torch.nn.Module:
    """Return a copy on the CPU, in evaluation mode, without gradients, trainers and wrappers, each weight its own.

    A weight with several names, or a layer in several places, becomes several. Names are those of the network without
    ``torch.compile``.

    Raises
    ------
    NetworkError
        If something that the network holds cannot be copied.
    """
    network = unwrapped(network)
    memo: dict[int, Any] = {}
    for module in network.modules():
        for name in TRAINERS:
            if (trainer := vars(module).get(name)) is not None:
                memo[id(trainer)] = None
        for tensor in _results(module):
            memo[id(tensor)] = tensor.detach().clone()
    try:
        for module in reversed(list(network.modules())):
            if (inner := unwrapped(module)) is not module:
                memo[id(module)] = copy.deepcopy(inner, memo)
        replica = copy.deepcopy(network, memo)
    except Exception as error:  # anything that the network holds may refuse, in its own way
        raise NetworkError(*_not_copied(network, memo, error)) from error
    replica = replica.cpu().eval().requires_grad_(False)
    for module in replica.modules():
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
        _silence_properties(module)
    _untie(replica, set(), set())
    return replica


def unwrapped(network: torch.nn.Module) -> torch.nn.Module:
    """Return the network inside ``torch.compile``, DataParallel or DistributedDataParallel."""
    from torch.nn import DataParallel
    from torch.nn.parallel import DistributedDataParallel

    while True:
        if COMPILED in network._modules:
            network = network._modules[COMPILED]  # type: ignore[assignment]
        elif isinstance(network, DataParallel | DistributedDataParallel):
            network = network._modules[PARALLEL]  # type: ignore[assignment]
        else:
            return network


def _results(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Yield what a module keeps of a computation with gradients, such as its last loss: PyTorch refuses to copy it."""
    import torch

    for value in vars(module).values():
        entries = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        yield from (entry for entry in entries if isinstance(entry, torch.Tensor) and not entry.is_leaf)


def _not_copied(network: torch.nn.Module, memo: dict[int, Any], error: Exception) -> tuple[str, str]:
    for path, module in network.named_modules():
        for name, value in vars(module).items():
            if name == "_modules":
                continue
            try:
                copy.deepcopy(value, dict(memo))
            except Exception as reason:  # this is what cannot be copied
                named = f"'{path}.{name}'".replace("'.", "'")
                return f"{named} of the network cannot be copied: {reason}", "keep it outside of the network"
    return f"the network cannot be copied: {error}", "make it copyable with copy.deepcopy"


def _untie(module: torch.nn.Module, modules: set[int], storages: set[int]) -> None:
    """Give each name a tensor of its own: a template could not tell which one to fill, and a trace refuses."""
    modules.add(id(module))
    for name, child in module._modules.items():
        if child is not None:
            if id(child) in modules:
                child = module._modules[name] = copy.deepcopy(child)
            _untie(child, modules, storages)
    for own in (module._parameters, module._buffers):
        for name, tensor in own.items():
            if tensor is not None and tensor.numel():
                if tensor.untyped_storage().data_ptr() in storages:
                    tensor = tensor.detach().clone() if own is module._buffers else _parameter(tensor)
                    setattr(module, name, tensor)
                storages.add(tensor.untyped_storage().data_ptr())


def _silence_properties(module: torch.nn.Module) -> None:
    """Give a copy a class of its own in which properties that raise are None.

    ``torch.jit`` reads every property of a class, and takes no error but `AttributeError` for an answer; ``trainer`` of
    Lightning's modules raises outside training, and so do properties that users derive from it.
    """
    cls = type(module)
    properties = [name for name in dir(cls) if isinstance(getattr(cls, name, None), property)]
    if raising := frozenset(name for name in properties if _raises(module, name)):
        module.__class__ = _with_none(cls, raising)  # type: ignore[arg-type] # classes are hashable


@cache
def _with_none(cls: type, names: frozenset[str]) -> type:
    return type(cls.__name__, (cls,), {**dict.fromkeys(names), "__module__": cls.__module__, "__doc__": cls.__doc__})


def _parameter(tensor: torch.Tensor) -> torch.nn.Parameter:
    import torch

    return torch.nn.Parameter(tensor.detach().clone(), requires_grad=False)


def _raises(module: torch.nn.Module, name: str) -> bool:
    try:
        getattr(module, name, None)
    except Exception:  # a property may fail in any way
        return True
    return False
