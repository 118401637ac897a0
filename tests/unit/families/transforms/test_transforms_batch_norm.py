"""Batch norm folded away: the same function to 1e-12 in float64, wherever the norm stands."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelferry.families.transforms.batch_norm import MeanAffine, fold_into_next, fold_into_previous, move_past_mean

widths = st.integers(1, 7)
seeds = st.integers(0, 2**20)


def network(*layers: nn.Module, seed: int) -> nn.Sequential:
    """Return layers in float64, all of their weights and statistics random, scales of either sign."""
    generator = torch.Generator().manual_seed(seed)
    made = nn.Sequential(*layers).double().eval()
    for name, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
            if name.endswith("running_var"):
                tensor.abs_().add_(0.1)
    return made


def with_weights(*layers: nn.Module, state: dict[str, torch.Tensor]) -> nn.Sequential:
    made = nn.Sequential(*layers).double().eval()
    made.load_state_dict(state, strict=True)
    return made


def rows(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)


@given(widths, widths, st.integers(1, 9), seeds)
def test_folded_into_the_linear_layer_before_it(inputs: int, outputs: int, count: int, seed: int) -> None:
    whole = network(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), seed=seed)
    state = fold_into_previous(whole.state_dict(), "0", "1")
    x = rows(count, inputs, seed)
    assert torch.allclose(with_weights(nn.Linear(inputs, outputs), state=state)(x), whole(x), rtol=1e-12, atol=1e-12)


@given(widths, widths, st.integers(1, 5), st.booleans(), st.sampled_from([1e-5, 1e-2]), seeds)
def test_folded_into_the_convolution_before_it_at_the_borders_too(
    inputs: int, outputs: int, kernel: int, bias: bool, epsilon: float, seed: int
) -> None:
    def convolution(bias: bool) -> nn.Module:
        return nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    whole = network(convolution(bias), nn.BatchNorm1d(outputs, eps=epsilon), seed=seed)
    folded = with_weights(convolution(True), state=fold_into_previous(whole.state_dict(), "0", "1", epsilon))
    x = rows(7, 2 * inputs, seed).view(2, inputs, 7)
    assert torch.allclose(folded(x), whole(x), rtol=1e-12, atol=1e-12)


@given(widths, widths, st.integers(1, 9), seeds)
def test_folded_past_an_activation_into_the_linear_layer_after_it(
    inputs: int, outputs: int, count: int, seed: int
) -> None:
    whole = network(nn.LeakyReLU(), nn.BatchNorm1d(inputs), nn.Linear(inputs, outputs), seed=seed)
    state = fold_into_next(whole.state_dict(), "1", "2")
    x = rows(count, inputs, seed)
    folded = with_weights(nn.LeakyReLU(), nn.Identity(), nn.Linear(inputs, outputs), state=state)
    assert torch.allclose(folded(x), whole(x), rtol=1e-12, atol=1e-12)


def mean_of(values: torch.Tensor, belongs: torch.Tensor) -> torch.Tensor:
    """Return means of rows by a matrix of zeros and ones, 0 where there is no row."""
    return belongs @ values / belongs.sum(1, keepdim=True).clamp(min=1)


@given(widths, st.integers(1, 9), st.integers(1, 6), seeds)
def test_moved_past_a_mean_that_may_be_over_nothing(width: int, count: int, nodes: int, seed: int) -> None:
    whole = network(nn.BatchNorm1d(width), seed=seed)
    affine = MeanAffine(width).double()
    affine.load_state_dict({k.removeprefix("a."): v for k, v in move_past_mean(whole.state_dict(), "0", "a").items()})
    generator = torch.Generator().manual_seed(seed)
    belongs = (torch.rand(nodes, count, generator=generator) < 0.3).double()
    belongs[0] = 0  # a node without incoming edges
    x = rows(count, width, seed)
    filled = belongs.sum(1, keepdim=True).clamp(max=1)
    expected = mean_of(whole(x), belongs)
    found = affine(mean_of(x, belongs), filled)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert not found[0].any()


@pytest.mark.parametrize("fold", [fold_into_previous, fold_into_next, move_past_mean])
def test_only_the_norm_vanishes(fold: object) -> None:
    state = dict(network(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3), seed=1).state_dict())
    before = {name: tensor.clone() for name, tensor in state.items()}
    found = {
        fold_into_previous: lambda: fold_into_previous(state, "0", "1"),
        fold_into_next: lambda: fold_into_next(state, "1", "2"),
        move_past_mean: lambda: move_past_mean(state, "1", "1"),
    }[fold]()  # type: ignore[index]
    assert {name.partition(".")[0] for name in found} == ({"0", "1", "2"} if fold is move_past_mean else {"0", "2"})
    assert not any("running" in name or "tracked" in name for name in found)
    assert all(torch.equal(state[name], before[name]) for name in before)
