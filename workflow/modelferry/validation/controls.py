"""Controls: deliberately broken artifacts. A validator that passes one of them is broken itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.formats import Format, Runner

if TYPE_CHECKING:
    import torch

WEIGHT_FACTOR = 1.1


def broken_runners(
    family: Family,
    target: Format,
    contract: Contract,
    template: Path,
    weights: Mapping[str, torch.Tensor],
    folder: Path,
) -> Iterator[tuple[str, Runner]]:
    """Yield broken artifacts by what is broken: refilled with a changed weight, or fed wrongly prepared inputs.

    Parameters
    ----------
    template, weights
        What the artifact was made from; `weights` are the deployable's.
    folder
        Where the broken files may be written.
    """
    changed = folder / f"weight-changed.{target.extension}"
    target.fill(template, with_changed_weight(weights), {}, changed)
    yield "one weight changed by 10 %", target.load(changed, threads=1)
    whole = folder / f"whole.{target.extension}"
    target.fill(template, weights, {}, whole)
    run = target.load(whole, threads=1)
    for name, spoil in family.broken_inputs(contract.layout).items():

        def spoiled(inputs: Arrays, spoil=spoil) -> Arrays:  # type: ignore[no-untyped-def]
            return run(spoil(inputs, contract))

        yield name, spoiled


def with_changed_weight(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights with the largest entry of the last matrix 10 % larger."""
    name = [name for name, tensor in weights.items() if tensor.dim() >= 2 and tensor.is_floating_point()][-1]
    changed = weights[name].clone()
    flat = changed.view(-1)
    flat[flat.abs().argmax()] *= WEIGHT_FACTOR
    return {**weights, name: changed}
