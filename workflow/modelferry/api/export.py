"""The Python API: export a network that is in memory, load what was written, and compare the two.

The work is done by the formats that the workflow uses too. What is written is loaded again and compared with the
network before it gets its name; a file that computes something else is not left behind.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelferry.api.artifact import Artifact, written
from modelferry.api.example_inputs import Dynamic, contract_of, named_inputs
from modelferry.api.isolation import ONE_AT_A_TIME, isolated
from modelferry.api.verify import compare_export
from modelferry.comparison.result import Comparison
from modelferry.core.errors import ArgumentError, ArtifactError
from modelferry.core.file_kinds import in_its_place
from modelferry.core.nested_outputs import return_tuple
from modelferry.core.network_copy import network_copy
from modelferry.core.reading import regular_file
from modelferry.core.sealed import check_manifest
from modelferry.core.tolerances import Tolerance
from modelferry.formats import Format, by_extension, load_format

if TYPE_CHECKING:
    import torch

    from modelferry.api.example_inputs import Inputs


def export(
    model: torch.nn.Module,
    path: Path | str,
    *,
    inputs: Inputs,
    format: str | Format | None = None,
    dynamic: Dynamic | None = None,
    options: Mapping[str, Any] | None = None,
) -> Artifact:
    """Write `model` to `path`, compare what was written with it, and return it, loaded.

    The model is left as it is: its mode, gradients, device, and the state of random numbers. What is exported computes
    in evaluation mode, on the CPU. Outputs that are tuples, lists, dicts or dataclasses of tensors get names.

    Parameters
    ----------
    path
        The file; folders are made if need be.
    inputs
        An example: a tensor, tensors in the order of ``forward``, or tensors by the names of its parameters.
    format
        ``torchscript``, ``torch_export``, ``aotinductor``, ``onnx``, …, or one of your own as an object or its import
        path, ``package.module:Class``; by default what the name of the file says.
    dynamic
        The sizes that may differ from call to call: ``{"x": {0: "batch"}}`` or, for all inputs, ``{0: "batch"}``.
        Others are the example's. A name alone means 1 to 1024; a `Dimension` has a range of its own.
    options
        Options of the format, such as ``{"method": "script"}`` of torchscript or ``{"isa": "avx2"}`` of aotinductor.

    Raises
    ------
    ArgumentError
        If the example, `dynamic` or the format is not valid.
    NetworkError
        If the network cannot be exported as it is written: `ControlFlowError`, `ScriptingError` and
        `UnsupportedOperatorError` say where, and what to change.
    ArtifactError
        If the machine lacks what the format needs, or what was written is not the network.
    """
    out = Path(path)
    target = _format_of(format, out)
    with isolated():
        chosen = target.resolve_options(options or {})
        network = plain = checked_copy(model)
        contract = contract_of(network, inputs, dynamic)
        example = named_inputs(network, inputs)
        if chosen.get("method") != "script":  # scripts know no such hooks
            network = return_tuple(copy.deepcopy(plain))
        return written(target, network, plain, contract, example, chosen, out)


def load(
    path: Path | str,
    *,
    format: str | Format | None = None,
    threads: int | None = None,
    manifest: Path | str | None = None,
) -> Artifact:
    """Load what `export` or the workflow wrote. An artifact is a program: load those that you trust.

    Beside the manifest that the workflow writes, the digests of the files are checked before a byte of them is
    interpreted.

    Parameters
    ----------
    format
        By default what the name of the file says and, for ``.pt2``, what lies inside.
    threads
        Threads within an operator; by default as many as PyTorch uses now. PyTorch has one number for the process.
    manifest
        The manifest that tells the digests; by default ``manifest.json`` beside the file, if it is about this file.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, not the one that the manifest describes, of another format, or made for
        another machine.
    """
    import torch

    if not isinstance(path, str | Path):
        raise ArgumentError(f"a {type(path).__name__} is not the path of a file", "give the path of what was exported")
    path = Path(path)
    with ONE_AT_A_TIME:
        target = _format_of(format, path)
        regular_file(path, ArtifactError, "export it")
        check_manifest(target.files(path), None if manifest is None else Path(manifest))
        run = target.load(path, threads or torch.get_num_threads())
    return Artifact(path, target.name, run.contract, run, files=tuple(target.files(path)))


def validate(
    original: torch.nn.Module,
    exported: Artifact | Path | str,
    inputs: Inputs,
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> Comparison:
    """Compare an export with the network that it was made from; the result is true if they are the same function.

    Both are called on the example, on its numbers in another order, and at every size that the contract allows.

    Parameters
    ----------
    rtol, atol
        An output agrees where ``|exported - original| <= atol + rtol * |original|``. If neither is given, the tolerance
        is that of its dtype, and errors against float64 like those of the network itself pass too.

    Raises
    ------
    NetworkError
        If the network gives other outputs for the same inputs.
    """
    if isinstance(original, str | Path | Artifact):
        what = f"the network to compare with is a {type(original).__name__}"
        raise ArgumentError(what, "write validate(network, exported, inputs); `compare` takes any two, in any order")
    artifact = exported if isinstance(exported, Artifact) else load(exported)
    with isolated():
        network = checked_copy(original)
        example = named_inputs(network, inputs)
        names = [tensor.name for tensor in artifact.contract.inputs]
        if len(names) != len(example):
            raise ArgumentError(f"{len(example)} example inputs", f"{artifact.path} takes {', '.join(names)}")
        example = dict(zip(names, example.values(), strict=True))
        artifact.contract.check(example)
        return compare_export(
            network, artifact.run, artifact.contract, example, artifact.format, tolerance_given(rtol, atol)
        )


def export_checkpoint(
    checkpoint_path: Path | str,
    path: Path | str,
    model_class: type[torch.nn.Module],
    *,
    inputs: Inputs,
    format: str | Format | None = None,
    dynamic: Dynamic | None = None,
    options: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Artifact:
    """Export the network of a checkpoint: ``model_class(**arguments)`` with its weights. As `export` for all else.

    Hyperparameters that a Lightning checkpoint holds are arguments too, unless given here.

    Raises
    ------
    CheckpointError
        If the file is missing, not this network's, or reading it would run code: it is then never opened so.
    """
    with isolated():
        model = from_checkpoint(checkpoint_path, model_class, arguments)
    return export(model, path, inputs=inputs, format=format, dynamic=dynamic, options=options)


def from_checkpoint(
    path: Path | str, model_class: type[torch.nn.Module], arguments: Mapping[str, Any]
) -> torch.nn.Module:
    """Return the network of a checkpoint; nothing in the file is executed."""
    from modelferry.checkpoints.reader import fit, hyperparameters_inside, load_state_dict

    state = load_state_dict(path)
    accepted = inspect.signature(model_class).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    stated = {name: v for name, v in hyperparameters_inside(path).items() if anything or name in accepted}
    try:
        network = model_class(**{**stated, **arguments})
    except TypeError as error:
        reason = f"{model_class.__name__} cannot be made: {error}"
        raise ArgumentError(reason, "give its arguments by name; the checkpoint does not hold them") from error
    network.load_state_dict(fit(state, network, path))
    return network


def checked_copy(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a network that is ready for export; raise `ArgumentError` for anything else."""
    import torch

    if not isinstance(model, torch.nn.Module):
        raise ArgumentError(f"{type(model).__name__} is not a network", "give a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        raise ArgumentError(f"{type(model).__name__} is TorchScript already", "give the network that it was made from")
    return network_copy(model)


def tolerance_given(rtol: float | None, atol: float | None) -> Tolerance | None:
    """Return the tolerance that was asked for; None if none was."""
    asked = {name: value for name, value in (("rtol", rtol), ("atol", atol)) if value is not None}
    return Tolerance(**asked) if asked else None


def _format_of(given: str | Format | None, path: Path) -> Format:
    return given if isinstance(given, Format) else load_format(given or _format_named(path))


def _format_named(path: Path) -> str:
    """Return the format that a file's name stands for: the longest ending that one has, exact formats first."""
    formats = by_extension()
    for target in formats:
        if path.name.endswith(f".{target.extension}"):
            return target.name
    if path.suffix == ".pt2" and path.is_file():
        from modelferry.formats.shared.pt2_archive import format_of, kind_of

        return format_of(kind_of(path))
    if said := in_its_place(path, "artifact"):
        raise ArtifactError(*said)
    endings = ", ".join(sorted({f".{target.extension}" for target in formats}))
    raise ArgumentError(f"{path.name} does not tell its format", f"say format=…, or end it in one of {endings}")


__all__ = ["Artifact", "export", "export_checkpoint", "load", "validate"]
