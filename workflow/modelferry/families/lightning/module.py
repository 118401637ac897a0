"""LightningModules outside training: made from a class, looked at once, outputs in order."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ConfigError, NetworkError, did_you_mean
from modelferry.core.import_path import imported
from modelferry.core.nested_outputs import ONLY, named


def build(path: str, stated: Mapping[str, Any], given: Mapping[str, Any]) -> nn.Module:
    """Return an instance of the class at ``package.module:Class``, in evaluation mode, nothing of it compiled.

    Parameters
    ----------
    stated
        Hyperparameters of the checkpoint; those that the class does not take are left out, as Lightning does.
    given
        Those of the config, which go first, and must be known to the class.

    Raises
    ------
    ConfigError
        If there is no such class, or these arguments do not make one.
    """
    made = imported(path, "class")
    if not (isinstance(made, type) and issubclass(made, nn.Module)):
        raise ConfigError(f"class '{path}' is not a torch.nn.Module", "name a LightningModule")
    parameters = inspect.signature(made).parameters.values()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    for name in given:
        if not takes_all and name not in names:
            raise ConfigError(f"{path} has no hyperparameter '{name}'", did_you_mean(name, names))
    arguments = {name: value for name, value in stated.items() if takes_all or name in names} | dict(given)
    missing = [p.name for p in parameters if p.name in names and p.default is p.empty and p.name not in arguments]
    missing = [name for name in missing if name not in ("args", "kwargs")]
    if missing:
        remedy = f"the checkpoint does not state it either: give `init: {{{missing[0]}: …}}`"
        raise ConfigError(f"{path} needs the hyperparameter '{missing[0]}'", remedy)
    try:
        network: nn.Module = made(**arguments)
    except Exception as error:  # a user's class may fail in any way
        raise ConfigError(f"{path} cannot be made: {type(error).__name__}: {error}", "see `init:`") from error
    return eager(network).eval()


def eager(network: nn.Module) -> nn.Module:
    """Return a network with all that ``torch.compile`` made of its modules undone, in place."""
    if isinstance(network, torch._dynamo.eval_frame.OptimizedModule):
        network = network._orig_mod
    network._compiled_call_impl = None  # of `module.compile()`
    for name, child in list(network.named_children()):
        if (plain := eager(child)) is not child:
            setattr(network, name, plain)
    return network


def returning(network: nn.Module, names: Sequence[str]) -> nn.Module:
    """Let a network itself return its outputs called `names`, in this order, by a hook; one alone is not in a tuple.

    Outputs of a dict or dataclass go by their names, and others may be left out; those of a tuple or list, and a single
    tensor, are called by `names` in turn, if they have no such names.
    """

    def select(_: nn.Module, __: Any, result: Any) -> Any:
        values = _selected(network, result, names)
        return values[0] if len(names) == 1 else values

    network.register_forward_hook(select)
    return network


def check(network: nn.Module, contract: Contract, example: Arrays) -> bool:
    """Return whether a network returns one tensor and nothing around it.

    Raises
    ------
    NetworkError
        If it cannot be called on `example`, or returns something else than the contract says.
    """
    called = type(network).__name__
    try:
        with torch.no_grad():
            result = network(*(torch.from_numpy(example[tensor.name]) for tensor in contract.inputs))
    except Exception as error:  # a user's module may fail in any way
        inputs = ", ".join(f"{name} {array.shape}" for name, array in example.items())
        remedy = f"its `forward` is called with {inputs}, in this order, outside training"
        raise NetworkError(f"{called} cannot be called: {type(error).__name__}: {error}", remedy) from error
    sizes = contract.sizes(example)
    values = _selected(network, result, [tensor.name for tensor in contract.outputs])
    for declared, value in zip(contract.outputs, values, strict=True):
        wanted = tuple(size if isinstance(size, int) else sizes[size] for size in declared.shape)
        if tuple(value.shape) != wanted or str(value.dtype) != f"torch.{declared.dtype}":
            returned = f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
            remedy = f"declared is {declared.dtype} {declared.shape}, here {wanted}: fix `outputs:`"
            raise NetworkError(f"{called} returns '{declared.name}' as {returned}", remedy)
    return isinstance(result, torch.Tensor)


def _selected(network: nn.Module, result: Any, names: Sequence[str]) -> tuple[torch.Tensor, ...]:
    outputs = named(result)
    if not all(name in outputs for name in names):
        if len(outputs) != len(names) or not all(name.startswith(ONLY) for name in outputs):
            remedy = f"it returns {', '.join(outputs)}: say so under `outputs:`"
            raise NetworkError(f"{type(network).__name__} does not return {', '.join(names)}", remedy)
        outputs = dict(zip(names, outputs.values(), strict=True))
    return tuple(outputs[name] for name in names)
