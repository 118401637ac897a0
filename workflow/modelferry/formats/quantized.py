"""Quantized: ONNX with the weights of matrix products in int8. An approximation: smaller, and not the trained function.

Made by ONNX Runtime's own dynamic quantization
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import logging
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

        with tempfile.TemporaryDirectory(prefix="modelferry-quantized-") as folder:
            whole, rounded = Path(folder) / "whole.onnx", Path(folder) / "rounded.onnx"
            super().fill(template, weights, metadata, whole)
            logging.getLogger().disabled = True  # it advises a preparation that the template has had
            try:
                quantize_dynamic(whole, rounded, weight_type=QuantType.QInt8, per_channel=True)
            finally:
                logging.getLogger().disabled = False
            out.write_bytes(rounded.read_bytes())


FORMAT = Quantized()
