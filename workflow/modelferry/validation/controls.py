"""Controls: deliberately broken artifacts. A validator that passes one of them is broken itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.formats import Format, Runner

if TYPE_CHECKING:
    import torch

Spoil = Callable[[Arrays, Contract], Arrays]

WEIGHT_FACTOR = 1.1
CANDIDATES = 8
"""So many weights are tried, one at a time: one may belong to a unit that never fires."""


def broken_runners(
    family: Family,
    target: Format,
    contract: Contract,
    template: Path,
    weights: Mapping[str, torch.Tensor],
    whole: Runner,
    folder: Path,
) -> Iterator[tuple[str, Iterator[Runner]]]:
    """Yield broken artifacts by what is broken; one of each kind must be seen.

    Parameters
    ----------
    template, weights
        What the artifact was made from; `weights` are the deployable's.
    whole
        The artifact as it is, to be fed wrongly prepared inputs.
    folder
        Where files with a changed weight may be written.
    """

    def with_weight() -> Iterator[Runner]:
        for rank in range(CANDIDATES):
            path = folder / f"changed-{rank}.{target.extension}"
            target.fill(template, with_changed_weight(weights, rank), {}, path)
            yield target.load(path, threads=1)

    def spoiled(spoil: Spoil) -> Iterator[Runner]:
        yield lambda inputs: whole(spoil(inputs, contract))

    yield "one weight changed by 10 %", with_weight()
    for name, spoil in family.broken_inputs(contract.layout).items():
        yield name, spoiled(spoil)


def with_changed_weight(weights: Mapping[str, torch.Tensor], rank: int = 0) -> dict[str, torch.Tensor]:
    """Return the weights with one entry of the last matrix 10 % larger: the largest, or the `rank`-th after it."""
    name = [name for name, tensor in weights.items() if tensor.dim() >= 2 and tensor.is_floating_point()][-1]
    changed = weights[name].clone()
    order = changed.abs().flatten().argsort(descending=True)
    changed.view(-1)[order[rank % len(order)]] *= WEIGHT_FACTOR
    return {**weights, name: changed}
