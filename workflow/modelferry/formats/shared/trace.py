"""Tracing that leaves nothing behind: each trace has its types in a unit of its own, which goes with the module.

``torch.jit.trace`` makes a type for every module of a network and registers it with the process for good, 100 kB a
trace. Here a network without code, which has the same weights by the same names, is scripted, whose types PyTorch finds
again, then saved and loaded, by which it gets types of its own; into that the network is traced.
"""

from __future__ import annotations

import io
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


def trace(network: nn.Module, inputs: tuple[torch.Tensor, ...], strict: bool) -> torch.jit.ScriptModule:
    """Return the trace of a network, as ``torch.jit.trace`` does, without its own check."""
    made: Callable[..., Any] | None = None if _has_scripts(network) else _apart
    module: torch.jit.ScriptModule = torch.jit.trace(
        network, inputs, strict=strict, check_trace=False, _module_class=made
    )
    return module


class Skeleton(nn.Module):
    """A module that has weights and no code."""


def _apart(network: nn.Module, _compilation_unit: object = None) -> torch.jit.ScriptModule:
    """Return a module in TorchScript with the weights of `network`, themselves, and without methods."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(_skeleton(network, Counter())), buffer)
    buffer.seek(0)
    module: torch.jit.ScriptModule = torch.jit.load(buffer)
    parts = dict(module.named_modules())
    for name, part in network.named_modules():
        for own, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None:
                parts[name]._c.setattr(own, tensor)  # by this the trace knows a tensor for this weight
    return module


def _skeleton(module: nn.Module, seen: Counter[str]) -> nn.Module:
    called = torch._jit_internal._qualified_name(type(module))
    made = _class_called(called, seen[called])()
    seen[called] += 1
    made.training = module.training
    for name, parameter in module._parameters.items():
        if parameter is not None:
            made._parameters[name] = nn.Parameter(torch.empty(0, dtype=parameter.dtype), requires_grad=False)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            made._buffers[name] = torch.empty(0, dtype=buffer.dtype)
    for name, child in module._modules.items():
        if child is not None:
            made._modules[name] = _skeleton(child, seen)
    return made


@cache
def _class_called(name: str, number: int) -> type[nn.Module]:
    """Return a class that TorchScript calls `name`, another for each `number`: modules must not share their methods."""
    return type(f"Skeleton{number}", (Skeleton,), {"_jit_override_qualname": name})


def _has_scripts(network: nn.Module) -> bool:
    """Return whether parts of a network are TorchScript, or have methods that are kept: PyTorch sees to these."""
    return any(
        isinstance(module, torch.jit.ScriptModule)
        or torch._jit_internal.module_has_exports(module)
        or any(torch._C._jit_is_script_object(value) for value in vars(module).values())
        for module in network.modules()
    )
