"""200 exports in one process: does memory grow, does a file stay? ``python bench/leaks.py [EXPORTS] [FORMAT …]``.

Memory is compared after the first tenth of the exports, when caches are full, and at the end: what is resident, and
what is held after glibc gave back all that was free. A leak is memory that cannot be given back; what is resident is
bounded all the same. AOTInductor is left out unless named: it compiles for ten seconds or more an export.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import nn

import modelferry

ALLOWED = 0.05
EXPORTS = 200
CACHE = "torchinductor_"
METHODS: dict[str, list[dict[str, object]]] = {
    "torchscript": [{"method": "trace"}, {"method": "script"}, {"optimize": True}]
}


class Network(nn.Module):
    """A small convolutional network with a dict of outputs, for which Python caches nothing from export to export."""

    def __init__(self) -> None:
        super().__init__()
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), *pool)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return logits (B, 3) and features (B, 8) of images (B, 1, 8, 8)."""
        features = self.body(x)
        return {"logits": self.head(features), "features": features}


class Memory(NamedTuple):
    """Memory of this process in MB: as it is, and after all that is free went back to the system."""

    resident: float
    held: float

    @classmethod
    def now(cls) -> Memory:
        """Measure, after a collection; without glibc both are the same."""
        gc.collect()
        resident = _resident_mb()
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)
        return cls(resident, _resident_mb())


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss / 2**20)


def measure(name: str, exports: int) -> tuple[Memory, Memory, list[str]]:
    """Return the memory early and at the end of so many exports, and the names of the files that stayed.

    The cache of Inductor, a folder called ``torchinductor_<user>``, is PyTorch's, and one for all processes.
    """
    inputs = torch.randn(2, 1, 8, 8)
    ways = METHODS.get(name, [{}])
    early = Memory(0, 0)
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        out = Path(folder) / "out"
        for number in range(exports):
            options = ways[number % len(ways)]
            artifact = modelferry.export(
                Network(), out / "model", format=name, inputs=inputs, dynamic={0: "batch"}, options=options
            )
            assert artifact.comparison is not None
            if number + 1 == max(1, exports // 10):
                early = Memory.now()
        del artifact
        late = Memory.now()
        stayed = [path.name for path in Path(folder).iterdir() if path != out and not path.name.startswith(CACHE)]
        stayed += [path.name for path in out.iterdir() if path.name != "model"]
        tempfile.tempdir = None
    return early, late, stayed


def main() -> int:
    """Print one line a format; return 1 if any leaks."""
    exports = int(sys.argv[1]) if len(sys.argv) > 1 else EXPORTS
    code = 0
    for name in sys.argv[2:] or ("torchscript", "torch_export", "onnx"):
        early, late, stayed = measure(name, exports)
        code |= bool(stayed)
        print(f"{name}: after {exports // 10} and {exports} exports", end="")
        for what, before, after in zip(Memory._fields, early, late, strict=True):
            code |= after > before * (1 + ALLOWED)
            print(f", {what} {before:.1f} and {after:.1f} MB ({after / before - 1:+.1%})", end="")
        print(f"; left behind: {', '.join(stayed) or 'nothing'}", flush=True)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
