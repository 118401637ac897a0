"""ONNX Runtime in Python. Its C++ headers come with no package of the registries, hence no runtime in C++."""

from __future__ import annotations

from modelferry.runtimes import Runtime


class OnnxRuntime(Runtime):
    """ONNX Runtime in this process."""

    name = "onnxruntime"
    library = "onnxruntime"


RUNTIME = OnnxRuntime()
