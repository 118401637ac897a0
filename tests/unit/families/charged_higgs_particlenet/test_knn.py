"""k-NN of both deployables against a brute-force oracle in float64: the semantics of PyTorch Geometric's knn_graph.

Coordinates are small integers: distances are then exact, and ties frequent. Of equally near nodes the flat layout may
take any (torch.topk promises no order), the dense one takes the first.
"""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelferry.families.charged_higgs_particlenet import dense, flat

K = 4
EVENTS = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def oracle(x: np.ndarray) -> list[list[int]]:
    """Return for each node all others by distance, the first of equals first."""
    apart = ((x[:, None].astype(np.float64) - x[None].astype(np.float64)) ** 2).sum(-1)
    return [[j for j in sorted(range(len(x)), key=lambda j, i=i: (apart[i, j], j)) if j != i] for i in range(len(x))]


def coordinates(sizes: list[int], features: int, spread: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-spread, spread + 1, (size, features)).astype(np.float32) for size in sizes]


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(1, 9), st.sampled_from([1, 3, 1000]), st.integers(0, 10**6))
def test_flat_layout_selects_the_nearest_and_any_of_equals(
    sizes: list[int], features: int, spread: int, seed: int
) -> None:
    events = coordinates(sizes, features, spread, seed)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    index, valid = flat.nearest(torch.from_numpy(np.concatenate(events)), K, torch.from_numpy(batch))
    start = 0
    for x in events:
        for node, others in enumerate(oracle(x)):
            chosen = (index[start + node][valid[start + node]] - start).tolist()
            assert len(set(chosen)) == len(chosen) == min(K, len(x) - 1)
            assert node not in chosen
            assert all(0 <= other < len(x) for other in chosen)
            assert distances(x, node, chosen) == distances(x, node, others[:K])
        start += len(x)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(1, 9), st.sampled_from([1, 3, 1000]), st.integers(0, 10**6))
def test_dense_layout_selects_the_nearest_and_the_first_of_equals(
    sizes: list[int], features: int, spread: int, seed: int
) -> None:
    events, largest = coordinates(sizes, features, spread, seed), max(sizes)
    distance = torch.full((len(sizes), largest, largest), torch.inf)
    for number, x in enumerate(events):
        apart = torch.from_numpy(((x[:, None] - x[None]) ** 2).sum(-1))
        distance[number, : len(x), : len(x)] = apart.fill_diagonal_(torch.inf)
    index = dense.nearest(distance, K)
    for number, x in enumerate(events):
        for node, others in enumerate(oracle(x)):
            assert index[number, node, : min(K, len(x) - 1)].tolist() == others[:K]


def distances(x: np.ndarray, node: int, others: list[int]) -> list[float]:
    return sorted(((x[node].astype(np.float64) - x[others]) ** 2).sum(-1).tolist())
