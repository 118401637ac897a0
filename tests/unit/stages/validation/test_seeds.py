"""A correct artifact passes whatever the seed."""

from __future__ import annotations

import pytest

from small_family import HIDDEN, Tiny, checked, deployable, record, reference, runner


@pytest.mark.parametrize("first", range(1, 51, 10))
def test_correct_artifact_passes_fifty_seeds(first: int) -> None:
    """With small calls, to be fast; bench/seeds.py does so with every artifact of a config, and all their sizes."""
    network, family = reference(), Tiny()
    contracts = [family.contract(HIDDEN, layout) for layout in ("flat", "dense")]
    runs = [(runner(deployable(contract.layout), contract), contract) for contract in contracts]
    for seed in range(first, first + 10):
        recording = record(network, seed, 12, family)
        for run, contract in runs:
            found = checked(run, contract, recording)
            assert found.verdict.passed, (seed, contract.layout, found.verdict.reason)
