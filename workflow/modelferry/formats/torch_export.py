"""torch.export: the graph in PyTorch's own operators, to run in Python or to compile further."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelferry.comparison.side import Declared, Side
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError, one_line
from modelferry.formats import Format, Function, Runner
from modelferry.formats.shared.pt2_archive import (
    CONTRACT,
    EXTRA,
    WEIGHTS,
    Kind,
    entries_of,
    is_of_kind,
    read_archive,
    read_entries,
    refuse_code,
    write_archive,
)
from modelferry.formats.shared.runner import on_any_tensors
from modelferry.formats.shared.snippets import python_torch
from modelferry.formats.shared.weight_slots import WeightSlots, distinct_copy, raw_bytes

if TYPE_CHECKING:
    import torch

WEIGHTS_FOLDER = "data/weights/"
WEIGHTS_CONFIG = f"{WEIGHTS_FOLDER}model_weights_config.json"
LARGEST = 2**31 - 1
"""What a size without an upper limit is at most."""


class TorchExport(Format):
    """An exported program, ``torch.export.save``'s archive; the contract is its extra file `contract.json`."""

    name = "torch_export"
    extension = "exported.pt2"
    runtimes = ("pytorch",)
    packages = ("torch",)
    loads = (
        "torch.export._trace",
        "torch._inductor.sizevars",
        "torch.fx.experimental.validator",
        "torch.utils.serialization",
        "sympy.tensor.tensor",
    )
    snippets = {"Python": python_torch('torch.export.load("$path").module()')}
    bitwise = True

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Export the deployable and save it with all weights zero."""
        import torch

        from modelferry.formats.shared.program import export_program, read_weights

        program = export_program(distinct_copy(deployable), contract, example)
        slots = WeightSlots.of(program.state_dict, read_weights(program))
        with torch.no_grad():
            for tensor in program.state_dict.values():
                tensor.zero_()
        texts = {CONTRACT: contract.model_dump_json(), WEIGHTS: slots.model_dump_json()}
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            extra = {name.removeprefix(EXTRA): text for name, text in texts.items()}
            torch.export.save(program, buffer, extra_files=extra)
        out.write_bytes(buffer.getvalue())

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Replace the archive's weight files; the graph is neither loaded nor changed."""
        entries = read_archive(template, Kind.PROGRAM)
        WeightSlots.model_validate_json(entries[WEIGHTS]).check(weights, template)
        files = _weight_files(entries)
        if len(set(files.values())) != len(files):
            raise ArtifactError(f"{template}: two weights share a file", "build the template again")
        for name, tensor in weights.items():
            data = raw_bytes(tensor)
            if len(entries.get(files.get(name, ""), b"")) != len(data):
                raise ArtifactError(f"{template}: no {len(data)} bytes for '{name}'", "build the template again")
            entries[files[name]] = data
        extra = {EXTRA + name: text.encode() for name, text in metadata.items()}
        write_archive({**entries, **extra}, out)

    def read_weights(self, path: Path) -> dict[str, bytes]:
        """Return the contents of the archive's weight files."""
        entries = read_archive(path, Kind.PROGRAM)
        return {name: entries[file] for name, file in _weight_files(entries).items()}

    def load(self, path: Path, threads: int) -> Runner:
        """Load with ``torch.export.load``; outputs are named as the contract inside the archive says."""
        contract = Contract.model_validate_json(read_entries(path, Kind.PROGRAM, CONTRACT)[CONTRACT])
        import torch

        from modelferry.formats.shared.program_reader import program_read
        from modelferry.formats.shared.runner import on_tensors

        refuse_code(path)
        torch.set_num_threads(threads)
        with program_read(path) as program:
            module = program.module()
        return on_tensors(lambda inputs: module(*inputs), contract)

    def recognises(self, path: Path) -> bool:
        """Return whether a file is an archive that holds a program."""
        return is_of_kind(path, Kind.PROGRAM)

    def open(self, path: Path, threads: int) -> Side:
        """Open any exported program that takes tensors by position; it tells names, types and ranges of sizes."""
        import torch

        from modelferry.formats.shared.program_reader import program_read

        torch.set_num_threads(threads)
        try:
            with program_read(path) as read:
                program = read
        except (RuntimeError, ValueError, KeyError) as error:
            raise ArtifactError(f"{path} does not load: {one_line(error)}", "export it again") from error
        side = super().open(path, threads) if CONTRACT in entries_of(path) else _side(program, path)
        names = [tensor.name for tensor in side.inputs]
        exact = copy.deepcopy(program.module()).double()  # modules of a program share its weights
        double = on_any_tensors(exact, names, torch.float64, side.outputs)
        return dataclasses.replace(side, double=double)

    def layers(self, path: Path) -> Function:
        """Return the outputs of the modules that the program remembers, computed by its own graph."""
        contract = Contract.model_validate_json(read_entries(path, Kind.PROGRAM, CONTRACT)[CONTRACT])
        import torch

        from modelferry.formats.shared.program_reader import program_read
        from modelferry.formats.shared.runner import INPUT, outputs_of_modules

        refuse_code(path)
        with program_read(path) as program:
            module = torch.export.unflatten(program)
        run = outputs_of_modules(module, contract)
        return lambda inputs: {name: value for name, value in run(inputs).items() if not name.endswith(INPUT)}


def _side(program: torch.export.ExportedProgram, path: Path) -> Side:
    names = [str(name) for name in program.graph_signature.user_inputs]
    if program.call_spec.in_spec is not None and program.call_spec.in_spec.child(1).num_leaves:
        raise ArtifactError(f"{path} takes inputs by keyword", "export the network with `args` only")
    values = {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder" and n.name in names}
    inputs = tuple(
        Declared(name, str(value.dtype).removeprefix("torch."), tuple(_size(size) for size in value.shape))
        for name, value in values.items()
    )
    limits = program.range_constraints.items()
    ranges = tuple((str(symbol), int(lim.lower), int(min(lim.upper, LARGEST))) for symbol, lim in limits)
    return Side(str(path), on_any_tensors(program.module(), names), inputs, ranges=ranges)


def _size(size: Any) -> int | str:
    """Return a size of a program's input: a number, or the name of its symbol."""
    return size if isinstance(size, int) else str(size)


def _weight_files(entries: Mapping[str, bytes]) -> dict[str, str]:
    config = json.loads(entries[WEIGHTS_CONFIG])["config"]
    return {name: WEIGHTS_FOLDER + entry["path_name"] for name, entry in config.items()}


FORMAT = TorchExport()
