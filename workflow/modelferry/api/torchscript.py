"""TorchScript from Python: what notebooks and training scripts call; the format does the work.

A module in TorchScript gives what its network gives, dicts and tuples included; `modelferry.export` names each output.
PyTorch has deprecated TorchScript since 2.9: prefer the other formats where nothing asks for it.
"""

from __future__ import annotations

import inspect
import tempfile
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelferry.api.artifact import written
from modelferry.api.example_inputs import contract_of, named_inputs
from modelferry.api.export import checked_copy, from_checkpoint, tolerance_given
from modelferry.api.isolation import ONE_AT_A_TIME, isolated
from modelferry.api.verify import compare_export
from modelferry.comparison.result import Comparison
from modelferry.core.contract import Contract
from modelferry.core.errors import ArgumentError, ArtifactError, did_you_mean
from modelferry.core.network_copy import unwrapped
from modelferry.formats import load_format

if TYPE_CHECKING:
    import torch

    from modelferry.api.example_inputs import Inputs

UNKNOWN = Contract(layout="unknown", inputs=(), outputs=(), dimensions=())
"""The contract of a module that was scripted without an example."""


def export_to_torchscript(
    model: torch.nn.Module,
    save_path: Path | str | None = None,
    example_input: Inputs | None = None,
    method: str = "trace",
    strict: bool = True,
    optimize: bool = True,
) -> torch.jit.ScriptModule:
    """Return `model` as a module in TorchScript, loaded from the bytes that were saved and compared with it.

    The model is left as it is. The module computes in evaluation mode, on the CPU.

    Parameters
    ----------
    save_path
        Where to save it; without one it stays in memory.
    example_input
        A tensor, tensors in the order of ``forward``, or tensors by the names of its parameters; by default the model's
        ``example_input_array``. Without an example a module can be scripted, but not compared.
    method
        ``trace`` records what happens to the example; ``script`` compiles the source code of ``forward``.
    strict
        Refuse to trace a network that returns a list or a dict, whose number of entries a trace fixes.
    optimize
        Freeze the module: weights become constants and batch norm is folded. Without it, the module equals the network
        bit for bit, and its weights can be read and changed.

    Raises
    ------
    ArgumentError
        If tracing has no example, the example does not fit, or there is no such method.
    NetworkError
        If the network cannot be traced or scripted as it is written: where, and what to change.
    ArtifactError
        If what was saved is not the network.
    """
    target = load_format("torchscript")
    if method not in target.options["method"]:
        raise ArgumentError(f"there is no method '{method}'", did_you_mean(str(method), target.options["method"]))
    with isolated():
        network = checked_copy(model)
        inputs = getattr(unwrapped(model), "example_input_array", None) if example_input is None else example_input
        if inputs is None and method == "trace":
            raise ArgumentError("tracing needs an example input", 'give example_input=…, or say method="script"')
        contract = UNKNOWN if inputs is None else contract_of(network, inputs)
        example = {} if inputs is None else named_inputs(network, inputs)
        options = {"method": method, "strict": strict, "optimize": optimize}
        with tempfile.TemporaryDirectory(prefix="modelferry-torchscript-") as folder:
            out = Path(folder) / "model.pt" if save_path is None else Path(save_path)
            written(target, network, network, contract, example, options, out)
            return _loaded(out, "cpu")


def load_torchscript(path: Path | str, device: torch.device | str = "cpu") -> torch.jit.ScriptModule:
    """Load a module in TorchScript, whoever saved it, in evaluation mode.

    Raises
    ------
    ArtifactError
        If the file is missing, or not TorchScript.
    ArgumentError
        If there is no such device here.
    """
    return _loaded(Path(path), device)


def export_checkpoint_to_torchscript(
    checkpoint_path: Path | str,
    save_path: Path | str | None,
    model_class: type[torch.nn.Module],
    example_input: Inputs | None = None,
    **kwargs: Any,
) -> torch.jit.ScriptModule:
    """Return the network of a checkpoint in TorchScript: ``model_class`` with its weights, see `export_to_torchscript`.

    Nothing in the file is executed. Hyperparameters that a Lightning checkpoint holds are arguments of `model_class`.

    Parameters
    ----------
    kwargs
        ``method``, ``strict`` and ``optimize`` of `export_to_torchscript`; all others are arguments of `model_class`.

    Raises
    ------
    CheckpointError
        If the file is missing, not this network's, or reading it would run code.
    """
    own = inspect.signature(export_to_torchscript).parameters
    how = {name: value for name, value in kwargs.items() if name in own}
    with isolated():
        model = from_checkpoint(checkpoint_path, model_class, {n: v for n, v in kwargs.items() if n not in how})
    return export_to_torchscript(model, save_path, example_input, **how)


def validate_torchscript_export(
    original: torch.nn.Module,
    exported: torch.jit.ScriptModule | Path | str,
    example_input: Inputs,
    rtol: float | None = None,
    atol: float | None = None,
) -> Comparison:
    """Compare a module in TorchScript, or its file, with its network; the result is true if they agree.

    Both are called on the example, and on its numbers in another order. Tolerances as in `validate`.
    """
    import torch

    from modelferry.formats.shared.runner import on_tensors

    module = exported if isinstance(exported, torch.jit.ScriptModule) else load_torchscript(exported)
    with isolated():
        network = checked_copy(original)
        contract = contract_of(network, example_input)
        example = named_inputs(network, example_input)
        run = on_tensors(lambda tensors: module(*tensors), contract)
        return compare_export(network, run, contract, example, "torchscript", tolerance_given(rtol, atol))


def _loaded(path: Path, device: torch.device | str) -> torch.jit.ScriptModule:
    import torch

    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(f"there is no device '{device}' here", 'give "cpu"') from error
    if not path.is_file():
        raise ArtifactError(f"{path} is missing", "export it")
    with ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            module: torch.jit.ScriptModule = torch.jit.load(BytesIO(path.read_bytes()), map_location=target)
        except (RuntimeError, ValueError) as error:
            reason = f"{path} is not a TorchScript archive: {str(error).splitlines()[0]}"
            raise ArtifactError(reason, "export it again") from error
    return module.eval()
