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
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/samples"))

from family_samples import HYPERPARAMETERS, SMALL
from modelferry.core.errors import ArtifactError
from modelferry.families.trained import TrainedModel, load_checkpoint
from modelferry.formats import Format, format_names, load_format
from modelferry.stages.export.standalone import StandaloneExport, wanted_formats

STEPS = 60
"""How long a network is fitted."""
TARGETS = {"nothing": (0.2, 0.8), "sigmoid": (-2.0, 2.0), "softmax": (-2.0, 2.0)}
"""What its outputs are fitted to in turn, by what makes scores of them."""
SPREAD = 0.1
"""By how much of their distance targets differ from event to event."""


def checkpoint(name: str, seed: int, folder: Path) -> TrainedModel:
    """Return a checkpoint of a network that was fitted to events of its family, read from its file.

    Networks of seeds that follow each other prefer other classes. Random weights would not do: the scores of two such
    networks differ by less than an approximation may shift them.
    """
    family = SMALL[name]
    torch.manual_seed(seed)
    network = family.reference(family.hyperparameters).train()
    contract = family.contract(family.hyperparameters, family.reference_layout)
    events = family.collate(family.sample(family.call_sizes(contract), seed), contract.layout)
    inputs = [torch.from_numpy(events[tensor.name]) for tensor in contract.inputs]

    def outputs() -> Tensor:
        first = network(*inputs)
        return first[0] if isinstance(first, tuple) else first

    low, high = TARGETS[contract.scores]
    start = outputs().detach()
    preferred = (torch.arange(start[0].numel()).view_as(start[0]) + seed) % 2
    targets = low + (high - low) * (preferred + SPREAD * torch.randn_like(start))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (outputs() - targets).square().mean().backward()
        optimizer.step()
    path = folder / f"{name}-{seed}.pth"
    torch.save(network.state_dict(), path)
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
    torch.set_num_threads(1)
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
