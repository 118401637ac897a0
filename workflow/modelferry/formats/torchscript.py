"""TorchScript: a traced or scripted module. Deprecated since PyTorch 2.9, and what most C++ analyses still load."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelferry.comparison.side import Declared, Side
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError, NetworkError
from modelferry.core.tensors import to_tensor
from modelferry.formats import Format, Function, Runner
from modelferry.formats.shared.runner import on_any_tensors
from modelferry.formats.shared.snippets import python_torch
from modelferry.formats.shared.weight_slots import WeightSlots, distinct_copy, raw_bytes

if TYPE_CHECKING:
    import torch

ADDS_BIAS = frozenset({"aten::add", "aten::linear", "aten::addmm", "aten::batch_norm", "aten::_convolution"})
CONTRACT_FILE = "contract.json"
WEIGHTS_FILE = "weights.json"
OPTIONS_FILE = "options.json"

CPP_SNIPPET = """\
#include <torch/script.h>

#include <iostream>

int main() {
  torch::NoGradGuard no_grad;
  torch::jit::script::Module network = torch::jit::load("$path");
  network.eval();
$inputs
  const torch::jit::IValue outputs = network.forward({$arguments});
  const torch::Tensor $first = (outputs.isTuple() ? outputs.toTuple()->elements()[0] : outputs).toTensor();
$scores
}"""


class TorchScript(Format):
    """A ``torch.jit`` archive; the contract travels inside as the extra file `contract.json`."""

    name = "torchscript"
    extension = "pt"
    runtimes: ClassVar[tuple[str, ...]] = ("pytorch", "cpp")
    packages = ("torch",)
    legacy = "TorchScript is deprecated since PyTorch 2.9: a legacy format, for analyses that load it already"
    snippets = {"Python": python_torch('torch.jit.load("$path", map_location="cpu").eval()'), "C++": CPP_SNIPPET}
    bitwise = True
    options = {"method": ("trace", "script"), "strict": (True, False), "optimize": (False, True)}
    """`strict` refuses to trace outputs that are lists or dicts. `optimize` freezes the module when it is filled: its
    weights become constants, batch norm is folded, and bits may differ from eager mode."""

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Trace or script the deployable and save it with all weights zero."""
        import torch

        inputs = tuple(to_tensor(example[tensor.name]) for tensor in contract.inputs)
        network = distinct_copy(deployable)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            module = _traced(network, inputs, options["strict"]) if options["method"] == "trace" else _scripted(network)
            tensors = module.state_dict()
            weights = network.state_dict()
            for name in weights:
                tensors[name].zero_()
            slots = WeightSlots.of(weights, read=weights)
            extra = {CONTRACT_FILE: contract.model_dump_json(), WEIGHTS_FILE: slots.model_dump_json()}
            _save(module, {**extra, OPTIONS_FILE: json.dumps(dict(options))}, out)

    def is_bitwise(self, options: Mapping[str, Any]) -> bool:
        """Return whether the module was left as it was traced or scripted."""
        return not options["optimize"]

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Copy the weights into the template's tensors, by name, and save."""
        import torch

        extra = {CONTRACT_FILE: "", WEIGHTS_FILE: "", OPTIONS_FILE: ""}
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            module = _loaded(template, extra)
            WeightSlots.model_validate_json(extra[WEIGHTS_FILE]).check(weights, template)
            # Buffers that are in no state dict are among a loaded module's tensors; they keep their values.
            tensors = module.state_dict()
            for name, weight in weights.items():
                tensors[name].copy_(weight)
            if json.loads(extra[OPTIONS_FILE])["optimize"]:
                module = torch.jit.freeze(module.eval())
            _save(module, {**extra, **metadata}, out)

    def read_weights(self, path: Path) -> dict[str, bytes]:
        """Return the tensors of the module's state dict that a template leaves open; none of a frozen module."""
        extra = {WEIGHTS_FILE: "", OPTIONS_FILE: ""}
        tensors = _loaded(path, extra).state_dict()
        if json.loads(extra[OPTIONS_FILE])["optimize"]:
            return {}
        return {name: raw_bytes(tensors[name]) for name in WeightSlots.model_validate_json(extra[WEIGHTS_FILE]).root}

    def load(self, path: Path, threads: int) -> Runner:
        """Load with ``torch.jit.load``; outputs are named as the contract inside the archive says."""
        import torch

        from modelferry.formats.shared.runner import on_tensors

        torch.set_num_threads(threads)
        extra = {CONTRACT_FILE: ""}
        try:
            module = _loaded(path, extra).eval()
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(
                f"{path} is not a TorchScript archive: {str(error).splitlines()[0]}", "export it again"
            ) from error
        contract = Contract.model_validate_json(extra[CONTRACT_FILE]) if extra[CONTRACT_FILE] else None
        if contract is None or not contract.inputs:
            remedy = "export it with an example of its inputs, or use load_torchscript"
            raise ArtifactError(f"{path} holds no contract", remedy)
        return on_tensors(lambda inputs: module(*inputs), contract)

    def recognises(self, path: Path) -> bool:
        """Return whether a file is an archive that holds code and constants, as ``torch.jit.save`` writes them."""
        try:
            with zipfile.ZipFile(path) as archive:
                names = {name.partition("/")[2] for name in archive.namelist()}
        except (OSError, zipfile.BadZipFile):
            return False
        return "constants.pkl" in names and any(name.startswith("code/") for name in names)

    def open(self, path: Path, threads: int) -> Side:
        """Open any module whose ``forward`` takes tensors, in evaluation mode; its inputs have the names in its code.

        A module that holds weights computes in float64 as well, once they are converted.
        """
        import torch

        torch.set_num_threads(threads)
        extra = {CONTRACT_FILE: ""}
        try:
            module, double = _loaded(path, extra), _loaded(path, {})
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"{path} does not load: {str(error).splitlines()[0]}", "export it again") from error
        outputs = None
        if extra[CONTRACT_FILE] and Contract.model_validate_json(extra[CONTRACT_FILE]).inputs:
            side = super().open(path, threads)
            outputs = side.outputs
        else:
            notes = ("it was saved in training mode, and is called in evaluation mode",)
            trained, names = getattr(module, "training", False), _parameters(module, path)
            run = on_any_tensors(module.eval(), names)
            side = Side(str(path), run, tuple(map(Declared, names)), notes=notes if trained else ())
        names = [tensor.name for tensor in side.inputs]
        exact = on_any_tensors(double.eval().double(), names, torch.float64, outputs)
        return dataclasses.replace(side, double=exact)

    def layers(self, path: Path) -> Function:
        """Return the outputs of the nodes that read a module's bias, from a copy of the graph that returns them."""
        import torch

        extra = {CONTRACT_FILE: ""}
        module = _loaded(path, extra).eval()
        contract = Contract.model_validate_json(extra[CONTRACT_FILE])
        graph = module.inlined_graph.copy()
        values = _outputs_by_bias(graph)
        every = graph.create("prim::TupleConstruct", list(values.values()), 1)
        every.output().setType(torch._C.TupleType([value.type() for value in values.values()]))
        graph.appendNode(every)
        for _ in list(graph.outputs()):
            graph.eraseOutput(0)
        graph.registerOutput(every.output())
        call = torch._C._create_function_from_graph("layers", graph)

        def run(inputs: Arrays) -> Arrays:
            with torch.inference_mode():
                results = call(module._c, *(torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs))
            return {name: result.numpy() for name, result in zip(values, results, strict=True)}

        return run


def _parameters(module: torch.jit.ScriptModule, path: Path) -> list[str]:
    """Return the names of the tensors that ``forward`` takes."""
    arguments = module._c._get_method("forward").schema.arguments[1:]
    if odd := [a for a in arguments if str(a.type) != "Tensor" and not a.has_default_value()]:
        reason = f"{path}: '{odd[0].name}' of its forward is a {odd[0].type}, not a tensor"
        raise ArtifactError(reason, "compare a module whose forward takes tensors only")
    return [a.name for a in arguments if str(a.type) == "Tensor"]


def _traced(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], strict: bool) -> torch.jit.ScriptModule:
    """Trace a network; raise `NetworkError` for what a trace cannot hold."""
    from modelferry.formats.shared.exporter_errors import traced_faithfully
    from modelferry.formats.shared.trace import trace

    try:
        with traced_faithfully(network, inputs):
            return trace(network, inputs, strict)
    except RuntimeError as error:
        if "Encountering a" in str(error):
            remedy = "say strict=False, or use `export`, which names each output"
            raise NetworkError("the network returns a list or dict, which a strict trace refuses", remedy) from error
        if "Tracer cannot infer type" in str(error):
            remedy = "return tensors, or use `export`, which names each output"
            raise NetworkError("a trace cannot return what the network returns", remedy) from error
        raise


def _scripted(network: torch.nn.Module) -> torch.jit.ScriptModule:
    """Script a network; raise `ScriptingError` with the line that cannot be."""
    import torch

    from modelferry.formats.shared.exporter_errors import not_scripted

    try:
        module: torch.jit.ScriptModule = torch.jit.script(network)
    except Exception as error:  # the compiler raises whatever it stumbles over
        raise not_scripted(error, type(network).__name__) from error
    return module


def _outputs_by_bias(graph: Any) -> dict[str, Any]:
    """Return the output of each node of an inlined graph that adds a module's bias last, by the module's name."""
    owners: dict[str, str] = {next(graph.inputs()).debugName(): ""}
    outputs: dict[str, Any] = {}
    for node in graph.nodes():
        given = [value.debugName() for value in node.inputs()]
        if node.kind() == "prim::GetAttr" and given[0] in owners:
            prefix = owners[given[0]]
            owners[node.output().debugName()] = f"{prefix}.{node.s('name')}" if prefix else node.s("name")
        elif node.kind() in ADDS_BIAS:
            for value in given:
                module, _, entry = owners.get(value, "").rpartition(".")
                if entry == "bias":
                    outputs.setdefault(module, node.output())
    return outputs


def _loaded(path: Path, extra: dict[str, str]) -> torch.jit.ScriptModule:
    """Load a module, and into `extra` the extra files that it names."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    return module


def _save(module: torch.jit.ScriptModule, extra: Mapping[str, str], out: Path) -> None:
    """Save without the file's name, which PyTorch would write inside."""
    import torch

    buffer = io.BytesIO()
    torch.jit.save(module, buffer, _extra_files=dict(extra))
    out.write_bytes(buffer.getvalue())


FORMAT = TorchScript()
