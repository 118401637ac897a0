"""AOTInductor on every kind of small network of the property-based tests: the same function, or its documented error.

``python bench/compiled.py [KIND …]``: a compilation takes 10 to 50 seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

import modelferry
from modelferry.core.errors import UnsupportedOperatorError

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/samples"))

from api_samples import SAMPLES, Sample

REFUSED = {"bfloat16": UnsupportedOperatorError}
"""What the format cannot do, and the documented error."""
WIDTH, SEED = 3, 1
SIZES = (1, 2, 5, 40)
"""Numbers of events of the calls; the package is made from 2."""
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10}


def measure(sample: Sample, path: Path) -> str:
    """Export, load and call; return what is wrong, or nothing."""
    network = sample.network(WIDTH, SEED)
    made = modelferry.export(network, path, format="aotinductor", inputs=sample.inputs(2, SEED), dynamic={0: "batch"})
    if not made.comparison:
        return str(made.comparison)
    loaded = modelferry.load(path, format="aotinductor")
    for size in SIZES:
        inputs = sample.inputs(size, SEED + size)
        with torch.no_grad():
            wanted = torch.utils._pytree.tree_leaves(network.eval()(*inputs))
        found = list(loaded(*inputs).values())
        if [value.shape for value in found] != [value.shape for value in wanted]:
            return f"other shapes for {size} events"
        for value, truth in zip(found, wanted, strict=True):
            tolerance = TOLERANCE.get(truth.dtype, 0)
            if value.dtype != truth.dtype or not torch.allclose(value, truth, rtol=tolerance, atol=tolerance):
                return f"other values for {size} events"
    return ""


def main() -> int:
    """Print a line for each kind; return 1 if one is neither the same function nor refused as documented."""
    wrong = 0
    for kind in sys.argv[1:] or SAMPLES:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            refused: Exception | None = None
            try:
                reason = measure(SAMPLES[kind], Path(folder) / "model.aoti.pt2")
            except Exception as error:  # what was not foreseen is a failure of this kind, not of the others
                refused, reason = error, f"{type(error).__name__}: {error}"
            left = [path.name for path in Path(folder).iterdir() if refused]
        if kind in REFUSED:
            failed = not isinstance(refused, REFUSED[kind]) or bool(left)
            said = reason or "exported, though it is said to be refused"
        else:
            failed, said = bool(reason), reason or "the same function"
        wrong += failed
        print(f"{'FAILED ' if failed else ''}{kind}: {said} ({time.perf_counter() - started:.0f} s)", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
