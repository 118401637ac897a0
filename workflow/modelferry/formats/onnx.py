"""ONNX: a graph of standard operators, to run in ONNX Runtime or anything else that reads it."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelferry.comparison.side import Declared, Side
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError, ConfigError, UnsupportedOperatorError
from modelferry.formats import CheckedRunner, Format, Function, Runner
from modelferry.formats.shared.snippets import PYTHON_ONNX
from modelferry.formats.shared.weight_slots import WeightSlots, distinct_copy, raw_bytes

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir
    import onnxruntime as ort
    import torch
    from onnx import ModelProto, TensorProto

ELSEWHERE = "write the network without it, or export to aotinductor, torch_export or torchscript"
OPSET = 18
"""The operator set that PyTorch's exporter is written in. Its files have IR version 8."""
OLDEST = (1, 14)
"""The first ONNX Runtime that reads this operator set."""
ADDS_BIAS = frozenset({"Add", "Gemm", "BatchNormalization", "Conv"})
CONTRACT_KEY = "contract"
WEIGHTS_KEY = "weights"


class Onnx(Format):
    """An ONNX file from PyTorch's ``torch.export``-based exporter, each weight an initializer of its own name.

    The contract is the metadata property `contract`.
    """

    name = "onnx"
    extension = "onnx"
    runtimes: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    packages = ("torch", "onnx", "onnxscript", "onnxruntime")
    snippets = {"Python": PYTHON_ONNX}

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Export, simplify without looking at the weights, check, and write with all weights zero."""
        import onnx

        from modelferry.formats.shared.program import dynamic_shapes, export_program, read_weights

        program = export_program(distinct_copy(deployable), contract, example)
        slots = WeightSlots.of(program.state_dict, read_weights(program))
        model = _converted(program, contract, dynamic_shapes(contract))
        _simplify(model, slots)
        proto = _serialised(model)
        for name, value in ((CONTRACT_KEY, contract.model_dump_json()), (WEIGHTS_KEY, slots.model_dump_json())):
            proto.metadata_props.add(key=name, value=value)
        for name, initializer in _initializers(proto, slots.read).items():
            slot = slots.root[name]
            if tuple(initializer.dims) != slot.shape or _dtype(initializer) != slot.dtype:
                raise ArtifactError(f"the ONNX exporter changed the weight '{name}'", "report this architecture")
            initializer.raw_data = bytes(len(initializer.raw_data))
        onnx.checker.check_model(proto, full_check=True)
        out.write_bytes(proto.SerializeToString(deterministic=True))

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Replace the initializers' values."""
        proto = _read(template)
        properties = {entry.key: entry.value for entry in proto.metadata_props}
        slots = WeightSlots.model_validate_json(properties[WEIGHTS_KEY])
        slots.check(weights, template)
        for name, initializer in _initializers(proto, slots.read).items():
            data = raw_bytes(weights[name])
            if len(initializer.raw_data) != len(data):
                raise ArtifactError(f"{template}: no {len(data)} bytes for '{name}'", "build the template again")
            initializer.raw_data = data
        for key, value in metadata.items():
            proto.metadata_props.add(key=key, value=value)
        out.write_bytes(proto.SerializeToString(deterministic=True))

    def for_version(self, version: str) -> Format:
        """Return the format for a version of ONNX Runtime that reads the operator set."""
        if tuple(map(int, version.split("."))) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            reason = f"ONNX Runtime {version} reads no operator set {OPSET}, in which PyTorch's exporter is written"
            raise ConfigError(reason, f"use {oldest} or newer")
        return _ForVersion(version)

    def read_weights(self, path: Path) -> dict[str, bytes]:
        """Return the values of the initializers."""
        proto = _read(path)
        properties = {entry.key: entry.value for entry in proto.metadata_props}
        read = WeightSlots.model_validate_json(properties[WEIGHTS_KEY]).read
        return {name: initializer.raw_data for name, initializer in _initializers(proto, read).items()}

    def load(self, path: Path, threads: int) -> Runner:
        """Load in ONNX Runtime, on the CPU, with `threads` threads within an operator and one operator at a time."""
        session = self._session(path, threads)
        contract = _contract(session.get_modelmeta().custom_metadata_map, path)
        names = [tensor.name for tensor in contract.outputs]
        return CheckedRunner(contract, lambda inputs: dict(zip(names, session.run(names, inputs), strict=True)))

    def open(self, path: Path, threads: int) -> Side:
        """Open any model in ONNX Runtime: names, types and sizes of its inputs are those of its graph."""
        session = self._session(path, threads)
        if CONTRACT_KEY in session.get_modelmeta().custom_metadata_map:
            return super().open(path, threads)
        inputs = tuple(
            Declared(given.name, _numpy_name(given.type), tuple(size or None for size in given.shape))
            for given in session.get_inputs()
        )
        names = [output.name for output in session.get_outputs()]

        def run(inputs: Arrays) -> Arrays:
            values = session.run(names, inputs)
            return {name: _array(value, f"{path}: '{name}'") for name, value in zip(names, values, strict=True)}

        return Side(str(path), run, inputs)

    def _session(self, path: Path, threads: int) -> ort.InferenceSession:
        """Return a session with `threads` threads within an operator and one operator at a time."""
        import onnxruntime as ort
        from onnxruntime.capi.onnxruntime_pybind11_state import (
            Fail,
            InvalidArgument,
            InvalidGraph,
            InvalidProtobuf,
            NotImplemented,
        )

        if not path.is_file():
            raise ArtifactError(f"{path} is missing", "export it")
        options = self.session_options(path)
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # Planned reuse of buffers costs 4 % of a call with one event, and twice the memory with 256 (bench/claims.py).
        options.enable_mem_reuse = False
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except NotImplemented as error:
            reason = f"ONNX Runtime cannot execute this network: {str(error).splitlines()[0]}"
            raise UnsupportedOperatorError(reason, ELSEWHERE) from error
        except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
            reason = str(error).splitlines()[0]
            raise ArtifactError(
                f"{path} is not an ONNX model that this runtime loads: {reason}", "export it again"
            ) from error
        return session

    def session_options(self, path: Path) -> ort.SessionOptions:
        """Return what ONNX Runtime has to know about a file of this format."""
        import onnxruntime as ort

        return ort.SessionOptions()

    def layers(self, path: Path) -> Function | None:
        """Return the outputs of the nodes that read a module's bias, as further outputs of the same graph."""
        import onnx
        import onnxruntime as ort

        proto = _read(path)
        contract = read_contract(path)
        values = {
            name.removesuffix(".bias"): node.output[0]
            for node in reversed(proto.graph.node)  # of a module that runs twice, the first time
            for name in node.input
            if name.endswith(".bias") and node.op_type in ADDS_BIAS
        }
        there = {output.name for output in proto.graph.output}
        proto.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values.values() if value not in there)
        session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

        def run(inputs: Arrays) -> Arrays:
            contract.check(inputs)
            return dict(zip(values, session.run(list(values.values()), inputs), strict=True))

        return run


class _ForVersion(Onnx):
    """ONNX files for one version of ONNX Runtime, which executes them beside the installed one."""

    def __init__(self, version: str) -> None:
        self.name = f"{Onnx.name}@{version}"  # type: ignore[misc]
        self.runtimes = (*Onnx.runtimes, f"{Onnx.runtimes[0]}@{version}")  # type: ignore[misc]


def read_contract(path: Path) -> Contract:
    """Return the contract inside a file; raise `ArtifactError` if there is none."""
    return _contract({entry.key: entry.value for entry in _read(path).metadata_props}, path)


def _contract(properties: Mapping[str, str], path: Path) -> Contract:
    if CONTRACT_KEY not in properties:
        raise ArtifactError(f"{path} holds no contract", "export it with modelferry")
    return Contract.model_validate_json(properties[CONTRACT_KEY])


def _numpy_name(kind: str) -> str:
    """Return the dtype of ONNX Runtime's ``tensor(float)``."""
    inside = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inside, inside)


def _array(value: Any, what: str) -> np.ndarray:
    """Return an output as an array: classifiers of other libraries give a dict for each event."""
    import numpy as np

    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return np.array([[row[key] for key in sorted(row)] for row in value], np.float32)
    array: np.ndarray = np.asarray(value)
    if array.dtype.kind in "OUS":
        raise ArtifactError(f"{what} is text, which cannot be compared", "export it with numbers for its classes")
    return array


def _converted(program: torch.export.ExportedProgram, contract: Contract, shapes: Any) -> onnx_ir.Model:
    """Translate to ONNX, operator by operator; the exporter's own optimiser would fold weights into one another."""
    import torch

    with warnings.catch_warnings(), _without_torchvision():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", message="# The axis name")
        try:
            exported = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=OPSET,
                input_names=[tensor.name for tensor in contract.inputs],
                output_names=[tensor.name for tensor in contract.outputs],
                dynamic_shapes=shapes,
                custom_translation_table={torch.ops.aten.scalar_tensor.default: _scalar},
            )
        except torch.onnx.OnnxExporterError as error:
            missing = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", str(error))
            if missing is None:
                raise
            raise UnsupportedOperatorError(f"format onnx has no operator for {missing[1]}", ELSEWHERE) from error
    assert exported is not None
    return exported.model


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Keep PyTorch from saying, operator by operator, that torchvision is not installed; nothing here asks for it."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _scalar(s: Any, dtype: int = 1, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:
    """Translate ``aten::scalar_tensor``, as which every number in a network's code arrives, without loss.

    PyTorch's own translation takes float64 numbers through float32: π is off by 9e-8, and 2.2e-308 becomes 0.
    """
    import numpy as np
    import onnx
    from onnxscript import opset18

    if not isinstance(s, bool | int | float):
        return opset18.Cast(s, to=dtype)
    number = np.array(s, onnx.helper.tensor_dtype_to_np_dtype(dtype))
    return opset18.Constant(value=onnx.numpy_helper.from_array(number))


def _simplify(model: onnx_ir.Model, slots: WeightSlots) -> None:
    """Fold constants and drop what is not needed, in place, with the weights disguised as inputs meanwhile."""
    import onnxscript

    from modelferry.formats.shared.onnx_rewrites import rewrite

    graph = model.graph
    weights = {name: graph.initializers.pop(name) for name in slots.root if name in graph.initializers}
    values = {name: weight.const_value for name, weight in weights.items()}
    for weight in weights.values():
        weight.const_value = None
        graph.inputs.append(weight)
    onnxscript.optimizer.optimize(model)
    rewrite(model)
    for name, weight in weights.items():
        graph.inputs.remove(weight)
        weight.const_value = values[name]
        if name in slots.read:
            graph.initializers[name] = weight


def _serialised(model: onnx_ir.Model) -> ModelProto:
    """Return the file's content, without the stack traces of the exporting machine, for the oldest runtimes."""
    import onnx
    import onnx_ir

    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for output in node.outputs:
            output.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    proto = onnx_ir.to_proto(model)
    # An initializer tells its own shape; tools that transpose one, as quantizers do, stumble over a second statement.
    initializers = {tensor.name for tensor in proto.graph.initializer}
    kept = [value for value in proto.graph.value_info if value.name not in initializers]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)
    proto.ir_version = onnx.helper.find_min_ir_version_for(list(proto.opset_import))
    return proto


def _initializers(proto: ModelProto, names: tuple[str, ...]) -> dict[str, TensorProto]:
    initializers = [tensor for tensor in proto.graph.initializer if tensor.name in set(names)]
    if sorted(tensor.name for tensor in initializers) != sorted(names):
        odd = sorted(set(names) ^ {tensor.name for tensor in initializers})[:5]
        raise ArtifactError(f"the ONNX graph does not hold each weight once: {odd}", "build the template again")
    return {tensor.name: tensor for tensor in initializers}


def _read(path: Path) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing", "build it") from None
    except DecodeError as error:
        raise ArtifactError(f"{path} is not an ONNX model", "build it again") from error


def _dtype(initializer: TensorProto) -> str:
    import onnx

    return onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type).name


FORMAT = Onnx()
