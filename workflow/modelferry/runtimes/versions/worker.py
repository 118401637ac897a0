"""A program: an ONNX model, executed by whatever ONNX Runtime is in a folder. Nothing else of modelferry is there.

``python -I -S worker.py PACKAGES MODEL THREADS`` answers frames as ``workflow/cpp/run/frames.h`` describes them. The
session is what CMSSW makes: default optimisations, so many threads within an operator, one operator at a time.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def main(packages: str, model: str, threads: int) -> int:
    """Load a model, and answer one frame after the other until there is none."""
    sys.path.insert(0, packages)
    import numpy as np
    import onnxruntime as ort

    out, given = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)  # what libraries print must not get between the frames
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    started = time.perf_counter()
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library has a kind of its own for each reason
        _write(out, _refusal("artifact", f"ONNX Runtime {ort.__version__} does not load {model}: ", error), {})
        return 1
    _write(out, {"load_seconds": time.perf_counter() - started}, {})
    names = [output.name for output in session.get_outputs()]
    while line := given.readline():
        frame: dict[str, Any] = json.loads(line)
        inputs = {}
        for tensor in frame["tensors"]:
            dtype, shape = np.dtype(tensor["dtype"]), tensor["shape"]
            data = given.read(dtype.itemsize * math.prod(shape))
            inputs[tensor["name"]] = np.frombuffer(data, dtype).reshape(shape)
        started = time.perf_counter()
        try:
            values = session.run(names, inputs)
        except Exception as error:  # as above
            _write(out, _refusal("execution", "", error), {})
            continue
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _write(out, {"seconds": [seconds], "peak_memory_mb": peak}, dict(zip(names, values, strict=True)))
    return 0


def _refusal(kind: str, start: str, error: Exception) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": start + str(error).splitlines()[0]}}


def _write(out: IO[bytes], header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    described = [{"name": n, "dtype": str(a.dtype), "shape": a.shape} for n, a in tensors.items()]
    out.write(json.dumps({**header, "tensors": described}).encode() + b"\n")
    for array in tensors.values():
        out.write(array.tobytes())
    out.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
