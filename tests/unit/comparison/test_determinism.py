"""A function that gives two answers is found, with what makes it do so; one that gives one answer is left alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modelferry.comparison.determinism import check_network, repeats
from modelferry.comparison.eager import call_eagerly
from modelferry.core.contract import Arrays
from modelferry.core.errors import NetworkError
from noise_samples import NOISE, Noise, named, noisy

INPUTS = {"x": np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)}


def check(network: nn.Module) -> None:
    network.eval()

    def call() -> Arrays:
        return call_eagerly(network, ["x"], INPUTS)

    check_network(call(), call)


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_named_with_the_module_that_makes_it(kind: str) -> None:
    with pytest.raises(NetworkError, match="gives other outputs for the same inputs") as caught:
        check(noisy(kind))
    assert named(kind, "Sequential.1") in str(caught.value)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_scripted_part_is_named_too() -> None:
    with pytest.raises(NetworkError, match=r"aten\.bernoulli_ in 'Sequential\.0' draws"):
        check(nn.Sequential(torch.jit.script(Noise("dropout left on"))))


class Rarely(nn.Module):
    """Changes one output in four calls."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (torch.rand(()) < 0.25)


def test_noise_that_spares_most_calls_is_found() -> None:
    torch.manual_seed(1)
    for _ in range(3):
        with pytest.raises(NetworkError, match=r"aten\.rand in 'Rarely'"):
            check(Rarely())


class Index(nn.Module):
    """Takes a column whose number was never written."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, torch.empty(1, dtype=torch.int64).clamp(0, 1)]


def test_integers_that_were_never_written_are_found() -> None:
    with pytest.raises(NetworkError, match=r"aten\.empty in 'Index'"):
        check(Index())


class Generator(nn.Module):
    """Draws from a generator of its own, and from NumPy's."""

    def __init__(self, numpys: bool) -> None:
        super().__init__()
        self.torchs, self.numpys = torch.Generator(), np.random.default_rng(1) if numpys else None

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.numpys.random() if self.numpys else torch.rand(1, generator=self.torchs))


def test_other_generators_are_found_and_named_if_they_are_torchs() -> None:
    with pytest.raises(NetworkError, match=r"aten\.rand in 'Generator' draws"):
        check(Generator(numpys=False))
    with pytest.raises(NetworkError, match="for the same inputs; make `forward` a pure function"):
        check(nn.Sequential(nn.BatchNorm1d(5), Generator(numpys=True)))  # a norm reserves memory


class Calm(nn.Module):
    """Has all that makes noise elsewhere, and makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.3, batch_first=True)
        self.recurrent = nn.LSTM(5, 3, 2, dropout=0.3, batch_first=True)
        self.drop = nn.Sequential(nn.Dropout(), nn.RReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        filled, ignored = torch.empty_like(x), torch.empty(3)
        filled[:] = 2
        torch.rand(3)
        token = x[:, None, :4]
        constant = torch.rand(3, generator=torch.Generator().manual_seed(4))
        attention, recurrent = self.attention(token, token, token)[0], self.recurrent(x)[0]
        return attention + ignored.numel(), recurrent, self.drop(x) + filled, constant


def test_network_that_draws_or_reserves_without_effect_passes() -> None:
    check(Calm())


class Sums(nn.Module):
    """Adds in one order, then in another, as threads may."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.errors = itertools.cycle([0.0, step])

    def forward(self, x: Tensor) -> Tensor:
        return x.abs() * (1 + next(self.errors))


def test_rounding_is_not_noise() -> None:
    check(Sums(3e-7))
    with pytest.raises(NetworkError, match="other outputs"):
        check(Sums(3e-4))


@pytest.mark.parametrize("rounding", [False, True])
def test_what_is_not_finite_must_repeat(rounding: bool) -> None:
    values = {"a": np.array([[1.0, np.nan], [np.inf, 2.0]], np.float32)}
    assert repeats(values, {"a": values["a"].copy()}, rounding)
    for row, column, value in ((0, 1, 1.0), (1, 0, -np.inf), (1, 0, np.nan), (0, 0, np.nan), (0, 0, 1.1)):
        changed = values["a"].copy()
        changed[row, column] = value
        assert not repeats(values, {"a": changed}, rounding)
        assert not repeats({"a": changed}, values, rounding)
    assert not repeats(values, {"a": values["a"][:1]}, rounding)
