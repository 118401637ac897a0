"""Quantized: ONNX with the weights of matrix products in int8. An approximation: smaller, and not the trained function.

Made by ONNX Runtime's own dynamic quantization
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.formats import Format
from modelferry.formats.onnx import Onnx

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto, NodeProto

PRODUCTS = ("MatMul", "Gemm")
CONVOLUTION = "Conv"
ZERO, AXES = "not_finite.zero", "not_finite.axes"


class Quantized(Onnx):
    """An ONNX file; its template is that of format `onnx`, and weights are rounded when it is filled."""

    name = "quantized"
    exactness = "approximation"

    for_version = Format.for_version  # it is rounded by the installed version

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Fill as ONNX, then round the weights of matrix products to int8, one scale a column."""
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        with tempfile.TemporaryDirectory(prefix="modelferry-quantized-") as folder:
            whole, folded, rounded = (Path(folder) / name for name in ("whole.onnx", "folded.onnx", "rounded.onnx"))
            super().fill(template, weights, metadata, whole)
            # Weights behind a transposition are found only once that is folded into them.
            quant_pre_process(whole, folded, skip_symbolic_shape=True)
            model = onnx.load(folded)
            keep_what_is_not_finite(model)
            quantize_dynamic(model, rounded, weight_type=QuantType.QInt8, per_channel=True)
            out.write_bytes(rounded.read_bytes())


def keep_what_is_not_finite(model: ModelProto) -> None:
    """Let a number that is not finite come through each product with weights, in place.

    It comes out as NaN, in its row of a matrix product, and in all outputs of its event of a convolution. The product
    itself gets 0 in its place: a call has one scale, which an infinity would spoil for all events.

    Rounding to integers would make an ordinary number of it, and a score that looks like one.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    constants = {ZERO: np.array(0, np.float32)}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type not in (*PRODUCTS, CONVOLUTION) or node.input[1] not in ranks:
            nodes.append(node)
            continue
        summed = range(1, ranks[node.input[1]]) if node.op_type == CONVOLUTION else (-1,)
        axes = f"{AXES}.{len(summed)}.{node.op_type}"
        constants[axes] = np.array(summed, np.int64)
        given, gives = node.input[0], node.output[0]
        nothing, finite, kept, total, product = (
            f"{gives}.{part}" for part in ("nothing", "finite", "kept", "total", "product")
        )
        node.input[0], node.output[0] = kept, product
        nodes += [
            helper.make_node("Mul", [given, ZERO], [nothing]),  # 0, or NaN for what is not finite
            helper.make_node("Equal", [nothing, ZERO], [finite]),
            helper.make_node("Where", [finite, given, ZERO], [kept]),
            node,
            helper.make_node("ReduceSum", [nothing, axes], [total], keepdims=1),
            helper.make_node("Add", [product, total], [gives]),
        ]
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    del model.graph.node[:]
    model.graph.node.extend(nodes)


FORMAT = Quantized()
