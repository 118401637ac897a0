"""Run by a fresh interpreter to execute a generated module, or a JSON file: standard library only, no modelferry.

Arguments: the file, and what its inputs are: ``text``, or the number of float32 values of a row. The contract goes out
first, as a line. Then each call comes as the number of rows and the bytes of each, two uint32, and the rows; the
answer is their outputs as float64.
"""

from __future__ import annotations

import json
import runpy
import struct
import sys
from pathlib import Path
from typing import Any, Callable  # noqa: UP035 - also for old interpreters

HEADER = struct.Struct("<II")


def from_json(path: str) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """Return contract and function of a byte CNN in JSON."""
    content = json.loads(Path(path).read_bytes())
    weights = content["weights"]
    layers = [
        (weights[f"{name}_weight"], weights[f"{name}_bias"], activation)
        for name, activation in (("classifier", "relu"), ("output", "sigmoid"))
    ]
    names = [f"conv{number + 1}" for number in range(len(content["architecture"]["convolutions"]))]
    convolutions = [(weights[f"{name}_weight"], weights[f"{name}_bias"]) for name in names]
    runtime = runpy.run_path(str(Path(__file__).with_name("python_runtime.py")))
    sizes = content["architecture"]
    network = runtime["ByteNetwork"](weights["embedding"], convolutions, layers, sizes["max_len"], sizes["pooling"])
    return content["contract"], network


def from_module(path: str) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """Return contract and function of a generated module."""
    module = runpy.run_path(path)
    return json.loads(module["CONTRACT"]), module["predict"]


def serve(predict: Callable[[Any], Any], text: bool) -> None:
    """Answer calls until there are no more."""
    receive, send = sys.stdin.buffer, sys.stdout.buffer
    for header in iter(lambda: receive.read(HEADER.size), b""):
        count, size = HEADER.unpack(header)
        rows = [receive.read(size) for _ in range(count)]
        inputs = rows if text else [struct.unpack(f"<{size // 4}f", row) for row in rows]
        outputs: list[float] = []
        for values in inputs:
            result = predict(values)
            outputs += [result] if isinstance(result, float) else list(result)
        send.write(struct.pack(f"<{len(outputs)}d", *outputs))
        send.flush()


def main() -> None:
    """Load, say so, and serve."""
    contract, predict = (from_json if sys.argv[1].endswith(".json") else from_module)(sys.argv[1])
    sys.stdout.buffer.write(json.dumps(contract).encode() + b"\n")
    sys.stdout.buffer.flush()
    serve(predict, text=contract["inputs"][0]["dtype"] == "uint8")


if __name__ == "__main__":
    main()
