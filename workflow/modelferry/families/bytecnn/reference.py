"""The byte CNN as it was trained: embedding, convolutions with or without batch norm, pooling, two dense layers.

Source: the forward function of `mitchins/pinybytecnn`, as its reference scores tell it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

BYTES = 256


class ByteCNN(nn.Module):
    """Scores of texts; byte 0, with which a text is padded, is embedded and pooled like any other.

    Parameters
    ----------
    convolutions
        Channels, kernel size and whether a batch norm follows, of each layer.
    max_len
        Number of bytes to which a text is cut or padded.
    pooling
        ``mean_max`` (half their sum), ``mean``, ``max``, or ``concat`` (the means, then the maxima).
    """

    def __init__(
        self,
        embedding: int,
        convolutions: Sequence[tuple[int, int, bool]],
        dense: int,
        max_len: int,
        pooling: str,
        eps: float,
    ) -> None:
        super().__init__()
        self.max_len, self.pooling = max_len, pooling
        self.layers = range(1, len(convolutions) + 1)
        self.embedding = nn.Embedding(BYTES, embedding)
        width = embedding
        for number, (channels, kernel, norm) in zip(self.layers, convolutions, strict=True):
            setattr(self, f"conv{number}", nn.Conv1d(width, channels, kernel, padding=kernel // 2))
            if norm:
                setattr(self, f"bn{number}", nn.BatchNorm1d(channels, eps=eps))
            width = channels
        self.classifier = nn.Linear(2 * width if pooling == "concat" else width, dense)
        self.output = nn.Linear(dense, 1)

    def forward(self, text: Tensor) -> Tensor:
        """Return scores (B, 1) of texts (B, bytes) uint8."""
        padded = torch.zeros(len(text), self.max_len, dtype=torch.long)
        length = min(text.size(1), self.max_len)
        padded[:, :length] = text[:, :length]
        x = self.embedding(padded).transpose(1, 2)
        for number in self.layers:
            x = getattr(self, f"conv{number}")(x)
            x = getattr(self, f"bn{number}", nn.Identity())(x)
            x = torch.relu(x)
        mean, largest = x.mean(dim=2), x.amax(dim=2)
        pooled = {"mean": mean, "max": largest, "mean_max": (mean + largest) / 2}
        x = torch.cat([mean, largest], dim=1) if self.pooling == "concat" else pooled[self.pooling]
        return torch.sigmoid(self.output(torch.relu(self.classifier(x))))
