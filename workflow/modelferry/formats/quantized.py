"""Quantized: ONNX with the weights of matrix products in int8. An approximation: smaller, and not the trained function.

Made by ONNX Runtime's own dynamic quantization
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.formats.onnx import Onnx

if TYPE_CHECKING:
    import torch


class Quantized(Onnx):
    """An ONNX file; its template is that of format `onnx`, and weights are rounded when it is filled."""

    name = "quantized"
    exactness = "approximation"

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Fill as ONNX, then round the weights of matrix products to int8, one scale a column."""
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        with tempfile.TemporaryDirectory(prefix="modelferry-quantized-") as folder:
            whole, folded, rounded = (Path(folder) / name for name in ("whole.onnx", "folded.onnx", "rounded.onnx"))
            super().fill(template, weights, metadata, whole)
            # Weights behind a transposition are found only once that is folded into them.
            quant_pre_process(whole, folded, skip_symbolic_shape=True)
            quantize_dynamic(folded, rounded, weight_type=QuantType.QInt8, per_channel=True)
            out.write_bytes(rounded.read_bytes())


FORMAT = Quantized()
