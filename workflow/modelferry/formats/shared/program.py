"""Exporting a deployable with ``torch.export``: the start of every format but TorchScript."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError, NetworkError
from modelferry.core.tensors import to_tensor
from modelferry.formats.shared.exporter_errors import no_graph_on_failure, not_followed

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    DynamicShapes = dict[str, dict[int, torch.export.Dim]]


def export_program(deployable: torch.nn.Module, contract: Contract, example: Arrays) -> ExportedProgram:
    """Return the graph of a deployable, its sizes named and ranged as the contract says.

    Parameters
    ----------
    deployable
        The network in evaluation mode.
    example
        Inputs within the contract; every named size at least 2, since export takes 0 and 1 for constants.

    Raises
    ------
    NetworkError
        If a size that the contract calls free is not, the network changes its own buffers, or decides by values.
    """
    import torch
    from torch._dynamo.exc import UserError

    _check_example(contract, example)
    inputs = tuple(to_tensor(example[tensor.name]) for tensor in contract.inputs)
    # The keys of `dynamic_shapes` must be the names in `forward`; a tuple goes by position, as the contract does.
    shapes = tuple(dynamic_shapes(contract).values())
    try:
        with unremembered(), torch.no_grad(), no_graph_on_failure(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", message=".*_flat_weights")  # recurrent layers keep two lists of weights
            program = torch.export.export(deployable, inputs, dynamic_shapes=shapes)
    except UserError as error:
        said = ": ".join(line.strip(" -") for line in str(error).strip().splitlines()[:2])
        remedy = "fix that size, or write the network without a decision by it"
        raise NetworkError(f"the network does not export with the contract's sizes: {said}", remedy) from error
    except Exception as error:  # a network may fail in any way
        if (reason := not_followed(error)) is None:
            raise
        raise reason from error
    if changed := program.graph_signature.buffers_to_mutate:
        names = ", ".join(sorted(changed.values()))
        raise NetworkError(f"the network changes its buffers when it runs: {names}", "make it a pure function")
    _break_cycle(program)
    return program


def _break_cycle(program: ExportedProgram) -> None:
    """Let a program be collected: its `ShapeEnv` holds fake inputs, and their sizes, in C++, hold the `ShapeEnv`.

    The inputs were needed for the guards on sizes, which are in the program by now.
    """
    from torch._guards import detect_fake_mode

    mode = detect_fake_mode([node.meta.get("val") for node in program.graph.nodes])
    if mode is not None and mode.shape_env is not None and mode.shape_env.tracked_fakes:
        mode.shape_env.tracked_fakes.clear()


@contextmanager
def unremembered() -> Iterator[None]:
    """Keep PyTorch from remembering each graph with free sizes for as long as the process lives.

    Its cache of fake tensors is off meanwhile, in this thread. What the methods of `ShapeEnv` remember of any graph is
    forgotten afterwards: whoever else compiles at that time computes some of it again.
    """
    import torch._dynamo.config
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        try:
            yield
        finally:
            for method in vars(ShapeEnv).values():
                if clear := getattr(method, "cache_clear", None):
                    clear()


def dynamic_shapes(contract: Contract) -> DynamicShapes:
    """Return the free axes of each input, as the same `Dim` wherever the contract says the same name."""
    from torch.export import Dim

    dims = {d.name: Dim(d.name, min=d.minimum, max=d.maximum) for d in contract.dimensions if d.minimum < d.maximum}
    return {
        tensor.name: {axis: dims[size] for axis, size in enumerate(tensor.shape) if size in dims}
        for tensor in contract.inputs
    }


def read_weights(program: ExportedProgram) -> frozenset[str]:
    """Return the names of the state dict's tensors that the graph reads."""
    from torch.export.graph_signature import InputKind

    used = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    return frozenset(
        spec.target
        for spec in program.graph_signature.input_specs
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER)
        and spec.arg.name in used
        and spec.target in program.state_dict
    )


def _check_example(contract: Contract, example: Arrays) -> None:
    for tensor in contract.inputs:
        for size, name in zip(example[tensor.name].shape, tensor.shape, strict=True):
            if isinstance(name, str) and size < 2 and contract.dimension(name).maximum >= 2:
                raise ArtifactError(f"the example has '{name}' = {size}", "a free size needs an example of at least 2")
