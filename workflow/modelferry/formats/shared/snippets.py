"""Code that several formats share to load their artifacts; `Format.snippets` says what is filled in."""

from __future__ import annotations


def python_torch(load: str) -> str:
    """Return Python code for an artifact that the expression `load` loads as a module."""
    return f"""\
import torch

network = {load}
$inputs
with torch.inference_mode():
    $outputs = network($arguments)
$scores"""


PYTHON_ONNX = """\
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported

import onnxruntime
import torch

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("$path", options, providers=["CPUExecutionProvider"])
$inputs
inputs = [$arguments]
feeds = {entry.name: tensor.numpy() for entry, tensor in zip(session.get_inputs(), inputs, strict=True)}
[$outputs] = map(torch.from_numpy, session.run(None, feeds))
$scores"""
