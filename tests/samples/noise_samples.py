"""Networks that give two answers to one question, by what makes them do so."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def dropout(x: Tensor) -> Tensor:
    return functional.dropout(x, 0.5)


def draw(x: Tensor) -> Tensor:
    return x + torch.rand_like(x)


def unwritten(x: Tensor) -> Tensor:
    return x + torch.empty_like(x)


NOISE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "dropout left on": (dropout, "aten.bernoulli_ in '{}' draws random numbers"),
    "torch.rand": (draw, "aten.rand_like in '{}' draws random numbers"),
    "uninitialised memory": (unwritten, "reads memory that was never written, as aten.empty_like in '{}' returns it"),
}
"""What makes noise of a tensor, and how an error names it, given the module."""


class Noise(nn.Module):
    """A layer of noise."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.function, _ = NOISE[kind]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def noisy(kind: str) -> nn.Sequential:
    """Return a network of 5 inputs whose layer '1' makes noise."""
    return nn.Sequential(nn.Linear(5, 40), Noise(kind), nn.Linear(40, 2))


def named(kind: str, module: str) -> str:
    """Return how an error names the noise that a module makes."""
    return NOISE[kind][1].format(module)


def with_noise(network: nn.Module, kind: str) -> nn.Module:
    """Return the network itself, whose output is noisy from now on; it has the same weights and is called `Noisy`."""
    function, _ = NOISE[kind]

    class Noisy(type(network)):  # type: ignore[misc]
        def forward(self, *inputs: Tensor) -> Tensor:
            return function(super().forward(*inputs))

    network.__class__ = Noisy
    return network
