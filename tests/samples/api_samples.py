"""Small networks of the kinds that people export, each with an example of its inputs; widths and seeds are free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention over a sequence, with residual and norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 4 * width)
        self.attention = nn.MultiheadAttention(4 * width, 2, batch_first=True)
        self.norm = nn.LayerNorm(4 * width)
        self.head = nn.Linear(4 * width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.norm(x + self.attention(x, x, x)[0]).mean(1))


class Recurrent(nn.Module):
    """An LSTM that returns its outputs and both states."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, width, num_layers=2, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return self.lstm(x)


class Several(nn.Module):
    """Two inputs, three outputs, one of them of integers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, width), nn.Linear(3, width)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = self.left(x) + self.right(y)
        return total, total.relu().sum(1), total.argmax(1)


class Detector(nn.Module):
    """A dict of outputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(width, 4, 1), nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        return {"boxes": self.boxes(x).flatten(2), "scores": self.scores(x).flatten(2)}


class Buffered(nn.Module):
    """Buffers inside and outside of the state dict, of integers too, and a plain tensor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(5, width)
        self.register_buffer("mean", torch.randn(5))
        self.register_buffer("order", torch.randperm(width))
        self.register_buffer("scale", torch.rand(width) + 0.5, persistent=False)
        self.offset = torch.randn(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x - self.mean)[:, self.order] * self.scale + self.offset


class Shared(nn.Module):
    """One layer in two places, and one weight in two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.again = self.first
        self.encode, self.decode = nn.Linear(5, 5), nn.Linear(5, 5)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(self.again(self.first(x).tanh())).tanh())


def mlp(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 3))


def cnn(width: int) -> nn.Module:
    blocks = [nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


def channels_last(width: int) -> nn.Module:
    return cnn(width).to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Sample:
    """A network by its width, the shapes of its inputs but for the batch, and its type of numbers."""

    make: Callable[[int], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype = torch.float32

    def network(self, width: int, seed: int) -> nn.Module:
        """Return the network with random weights and statistics, in training mode."""
        torch.manual_seed(seed)
        network = self.make(width)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        return network.to(self.dtype)

    def inputs(self, batch: int, seed: int) -> tuple[Tensor, ...]:
        """Return the inputs of a call on so many events."""
        torch.manual_seed(seed)
        made = tuple(torch.randn(batch, *shape, dtype=self.dtype) for shape in self.shapes)
        if self.make is channels_last:
            return tuple(tensor.to(memory_format=torch.channels_last) for tensor in made)
        return made


SAMPLES = {
    "mlp": Sample(mlp, ((5,),)),
    "cnn": Sample(cnn, ((1, 8, 8),)),
    "attention": Sample(Attention, ((6, 5),)),
    "lstm": Sample(Recurrent, ((6, 5),)),
    "several outputs": Sample(Several, ((5,), (3,))),
    "dict output": Sample(Detector, ((1, 6, 6),)),
    "buffers": Sample(Buffered, ((5,),)),
    "shared weights": Sample(Shared, ((5,),)),
    "channels last": Sample(channels_last, ((1, 8, 8),)),
    "float64": Sample(mlp, ((5,),), torch.float64),
    "bfloat16": Sample(mlp, ((5,),), torch.bfloat16),
}
