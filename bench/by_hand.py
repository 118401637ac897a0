"""Export a small checkpoint of every family to every format and layout by hand, and swap in weights of another one.

`python bench/by_hand.py [FAMILY …]` writes what `modelferry export FILE` writes, with the same judge, and prints what
each took. Exits with 1 if a right file fails, or a wrong one does not.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/samples"))

from family_samples import HYPERPARAMETERS, SMALL
from modelferry.core.errors import ArtifactError
from modelferry.families.trained import TrainedModel, load_checkpoint
from modelferry.formats import Format, format_names, load_format
from modelferry.stages.export.standalone import StandaloneExport, wanted_formats


def checkpoint(name: str, seed: int, folder: Path) -> TrainedModel:
    """Return a checkpoint with the weights and statistics that follow from a seed, read from its file."""
    family = SMALL[name]
    torch.manual_seed(seed)
    state = family.reference(family.hyperparameters).state_dict()
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in state.items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            noise = torch.rand(tensor.shape, generator=generator) - 0.5
            tensor.add_(noise.abs() if key.endswith("var") else 0.4 * noise)
    path = folder / f"{name}-{seed}.pth"
    torch.save(state, path)
    return load_checkpoint(path, family=name, hyperparameters=HYPERPARAMETERS.get(name, {}))


def formats_of(export: StandaloneExport) -> Iterator[Format]:
    """Yield the formats that hold such a network."""
    inputs = export.contract.inputs
    for target in map(load_format, format_names()):
        if target.general or (len(inputs) == 1 and inputs[0].dtype == "uint8"):
            yield target


def main(names: list[str]) -> int:
    """Export, swap, and print a table."""
    failed = 0
    print("| family | layout | format | seconds | share of what is allowed | another model's weights |")
    print("|:--|:--|:--|--:|--:|:--|")
    for name in names or list(SMALL):
        for layout in SMALL[name].layouts:
            with tempfile.TemporaryDirectory(prefix="modelferry by hand ") as folder:
                right, wrong = (checkpoint(name, seed, Path(folder)) for seed in (1, 2))
                export, other = (StandaloneExport.of(model, layout) for model in (right, wrong))
                for target in formats_of(export):
                    started = time.perf_counter()
                    try:
                        (written,) = export.write(wanted_formats([target.name], {}), Path(folder) / "out")
                    except ArtifactError as error:
                        print(f"| {name} | {layout} | {target.name} | – | failed: {error} | – |", flush=True)
                        failed += 1
                        continue
                    seconds = time.perf_counter() - started
                    share = max(output.share for output in written.comparison.outputs)
                    try:
                        other.compared(target, written.path, written.path)
                        found, failed = "not detected", failed + 1
                    except ArtifactError:
                        found = "detected"
                    used = f"{100 * share:.3g} %" if written.exact else "approximation"
                    print(f"| {name} | {layout} | {target.name} | {seconds:.1f} | {used} | {found} |", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    raise SystemExit(main(sys.argv[1:]))
