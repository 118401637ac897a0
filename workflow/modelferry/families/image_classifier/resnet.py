"""The deployable ResNet: a sequence of stages, batch norm folded into its convolutions if asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from modelferry.families.transforms import FOLD_BATCH_NORM, NONE
from modelferry.families.transforms.batch_norm import fold_into_previous

WIDER = 4
IMAGENET_STEM = 7


class Prepare(nn.Module):
    """Bytes to numbers from 0 to 1, and these normalised by the mean and deviation of each channel."""

    if TYPE_CHECKING:  # TorchScript does not know annotations that are text
        mean: Tensor
        std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean or [0.0]).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std or [1.0]).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, C, H, W) of floating numbers."""
        if not image.is_floating_point():
            image = image.to(self.mean.dtype).div(255)
        return image.sub(self.mean).div(self.std)


class Thinned(nn.Module):
    """A shortcut without weights: every second pixel of each channel, between channels of zeros."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H / 2, W / 2)."""
        thin = nn.functional.max_pool2d(x, kernel_size=1, stride=2)
        size = (thin.size(0), 1, thin.size(2), thin.size(3))
        zero = thin.new_zeros(size)
        return torch.cat([zero.expand(-1, self.before, -1, -1), thin, zero.expand(-1, self.after, -1, -1)], dim=1)


class Residual(nn.Module):
    """A chain of convolutions, and a way around it."""

    def __init__(self, chain: OrderedDict[str, nn.Module], shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = (chain[name] for name in ("conv1", "bn1", "conv2", "bn2"))
        self.shortcut = shortcut
        self.conv3 = chain.get("conv3", nn.Identity())
        self.bn3 = chain.get("bn3", nn.Identity())
        self.relu = nn.ReLU()
        self.between = nn.ReLU() if "conv3" in chain else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways, its negative values cut off."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.between(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


def network(
    stages: Sequence[Sequence[int]],
    bottleneck: bool,
    stem: int,
    shortcut: str,
    classes: int,
    channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    transforms: frozenset[str] = NONE,
) -> nn.Sequential:
    """Return the network; the names of its weights are the reference's."""
    folded = FOLD_BATCH_NORM in transforms

    def pair(number: str, inputs: int, outputs: int, size: int, step: int = 1) -> list[tuple[str, nn.Module]]:
        convolution = nn.Conv2d(inputs, outputs, size, stride=step, padding=size // 2, bias=folded)
        return [(f"conv{number}", convolution), (f"bn{number}", nn.Identity() if folded else nn.BatchNorm2d(outputs))]

    width = stages[0][1]
    large = stem == IMAGENET_STEM
    made: OrderedDict[str, nn.Module] = OrderedDict(prepare=Prepare(mean, std))
    made.update([*pair("1", channels, width, stem, 2 if large else 1), ("relu", nn.ReLU())])
    if large:
        made["pool"] = nn.MaxPool2d(3, stride=2, padding=1)
    inputs = width
    for number, (blocks, middle) in enumerate(stages, start=1):
        outputs = middle * (WIDER if bottleneck else 1)
        row: list[nn.Module] = []
        for step in (1 if number == 1 else 2, *[1] * (blocks - 1)):
            if bottleneck:
                chain = [
                    *pair("1", inputs, middle, 1),
                    *pair("2", middle, middle, 3, step),
                    *pair("3", middle, outputs, 1),
                ]
            else:
                chain = [*pair("1", inputs, middle, 3, step), *pair("2", middle, outputs, 3)]
            way: nn.Module = nn.Identity()
            if step != 1 or inputs != outputs:
                projection = [module for _, module in pair("", inputs, outputs, 1, step)]
                way = Thinned(inputs, outputs) if shortcut == "pad" else nn.Sequential(*projection)
            row.append(Residual(OrderedDict(chain), way))
            inputs = outputs
        made[f"layer{number}"] = nn.Sequential(*row)
    made.update(average=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(1), linear=nn.Linear(inputs, classes))
    return nn.Sequential(made)


def converted(state_dict: Mapping[str, Tensor], transforms: frozenset[str]) -> dict[str, Tensor]:
    """Return the weights with each batch norm folded into its convolution, in float64, rounded once."""
    if FOLD_BATCH_NORM not in transforms:
        return dict(state_dict)
    dtype = state_dict["linear.weight"].dtype
    state = {name: t.double() if t.is_floating_point() else t for name, t in state_dict.items()}
    for norm in _norms(state_dict):
        head, _, last = norm.rpartition(".")
        convolution = f"{head}.0" if last == "1" else f"{head}.{last.replace('bn', 'conv')}".removeprefix(".")
        state = fold_into_previous(state, convolution, norm)
    return {name: tensor.to(dtype) for name, tensor in state.items()}


def _norms(names: Iterable[str]) -> list[str]:
    end = ".running_var"
    return [name.removesuffix(end) for name in names if name.endswith(end)]
