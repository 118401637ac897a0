"""ORT: ONNX Runtime's own format, which its mobile and minimal builds load without an ONNX parser or optimiser.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html. The conversion is that of
``python -m onnxruntime.tools.convert_onnx_models_to_ort`` in its style "Fixed", for any kind of CPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.formats import Format
from modelferry.formats.onnx import Onnx

if TYPE_CHECKING:
    import onnxruntime as ort
    import torch

FORMAT_KEY, ORT_FORMAT, ONNX_FORMAT = "session.{}_model_format", "ORT", "ONNX"
MARK = b"ORTM"
"""What an ORT file has in its bytes 4 to 7."""
FOR_ONE_CPU = "NchwcTransformer"
"""The optimiser that lays convolutions out for the vector width of the CPU that it runs on."""


class Ort(Onnx):
    """An ORT file: the graph optimised when the file is made. Its template is that of format `onnx`.

    ONNX Runtime writes one table, of operators, in the order of a hash: files of equal weights differ in that order.
    """

    name = "ort"
    extension = "ort"
    reproducible = False
    keeps_weights = False

    for_version = Format.for_version  # what the installed version optimised need not load in another

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Fill as ONNX, then let ONNX Runtime optimise the graph and save it."""
        import onnxruntime as ort

        with tempfile.TemporaryDirectory(prefix="modelferry-ort-") as folder:
            whole, saved = Path(folder) / "whole.onnx", Path(folder) / "saved.ort"
            super().fill(template, weights, metadata, whole)
            options = ort.SessionOptions()
            options.optimized_model_filepath = str(saved)
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
            options.add_session_config_entry(FORMAT_KEY.format("save"), ORT_FORMAT)
            options.intra_op_num_threads = 1
            providers = ["CPUExecutionProvider"]
            ort.InferenceSession(str(whole), options, providers=providers, disabled_optimizers=[FOR_ONE_CPU])
            out.write_bytes(saved.read_bytes())

    def session_options(self, path: Path) -> ort.SessionOptions:
        """Return options that say of which format a file is, whatever it is called: a template is of that of ONNX."""
        filled = self.recognises(path)
        options = super().session_options(path)
        options.add_session_config_entry(FORMAT_KEY.format("load"), ORT_FORMAT if filled else ONNX_FORMAT)
        return options

    def recognises(self, path: Path) -> bool:
        """Return whether a file has the mark of an ORT file."""
        with path.open("rb") as file:
            return file.read(8)[4:] == MARK

    def read_weights(self, path: Path) -> dict[str, bytes]:
        """Return nothing: the optimiser folds weights into one another."""
        return {}

    def layers(self, path: Path) -> None:
        """Return nothing: layers are fused."""
        return


FORMAT = Ort()
