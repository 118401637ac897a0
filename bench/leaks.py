"""200 exports in one process: does memory grow, does a file stay? ``python bench/leaks.py [EXPORTS] [FORMAT …]``.

Memory is what the process holds after the first tenth of the exports, when caches are full, and at the end. AOTInductor
is left out unless named: it compiles for ten seconds or more an export.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

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


def memory_mb() -> float:
    """Return the memory that this process holds, after a collection."""
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def measure(name: str, exports: int) -> tuple[float, float, list[str]]:
    """Return the memory early and at the end of so many exports, and the names of the files that stayed.

    The cache of Inductor, a folder called ``torchinductor_<user>``, is PyTorch's, and one for all processes.
    """
    inputs = torch.randn(2, 1, 8, 8)
    ways = METHODS.get(name, [{}])
    early = 0.0
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        out = Path(folder) / "out"
        for number in range(exports):
            options = ways[number % len(ways)]
            artifact = modelferry.export(
                Network(), out / "model", format=name, inputs=inputs, dynamic={0: "batch"}, options=options
            )
            assert artifact.comparison
            if number + 1 == max(1, exports // 10):
                early = memory_mb()
        del artifact
        late = memory_mb()
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
        code |= late > early * (1 + ALLOWED) or bool(stayed)
        memory = f"{early:.0f} MB after {exports // 10} exports, {late:.0f} MB after {exports}"
        print(f"{name}: {memory} ({late / early - 1:+.1%}); left behind: {', '.join(stayed) or 'nothing'}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
