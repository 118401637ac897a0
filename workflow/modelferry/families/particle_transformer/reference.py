"""The Particle Transformer as it was trained with weaver: arXiv:2202.03772, https://github.com/hqucms/weaver-core.

Two things differ between versions and networks, and no checkpoint tells them: how scaled heads are put together, and
whether an activation follows the last layer of the pair embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

FLOOR = 1e-8
DROPOUT = 0.1
ABSENT = -1e30
"""Attention logit of padding: its weight is exactly 0 beside any particle, and finite where there is none."""


def pair_features(vectors: Tensor) -> Tensor:
    """Return ln kT, ln z, ln Δ and ln m² of all pairs, self-pairs included, (N, 4, P, P), for (N, 4, P).

    Float32 arithmetic in this order is part of the definition: E − pz and m² cancel. Logarithm and arctan of particles
    are rounded once from float64, so that every machine has the same.
    """
    px, py, pz, energy = vectors.float().unbind(1)
    pt = (px * px + py * py).sqrt()
    rapidity = 0.5 * (1 + 2 * pz / (energy - pz).clamp(min=1e-20)).double().log().float()
    phi = torch.atan2(py.double(), px.double()).float()

    def difference(x: Tensor) -> Tensor:
        return x.unsqueeze(2) - x.unsqueeze(1)

    def together(x: Tensor) -> Tensor:
        return x.unsqueeze(2) + x.unsqueeze(1)

    delta_phi = (difference(phi) + math.pi) % (2 * math.pi) - math.pi
    delta = (difference(rapidity).square() + delta_phi.square()).sqrt()
    softer = torch.minimum(pt.unsqueeze(2), pt.unsqueeze(1))
    kt = (softer * delta).clamp(min=FLOOR)
    z = (softer / together(pt).clamp(min=FLOOR)).clamp(min=FLOOR)
    squared = together(px).square() + together(py).square() + together(pz).square()
    mass = (together(energy).square() - squared).clamp(min=FLOOR)
    return torch.stack([kt.log(), z.log(), delta.clamp(min=FLOOR).log(), mass.log()], dim=1)


class Embed(nn.Module):
    """Features of particles to the width of the network, (N, P, width) for (N, F, P)."""

    def __init__(self, features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.input_bn = nn.BatchNorm1d(features)
        layers: list[nn.Module] = []
        for inputs, outputs in zip([features, *widths], widths, strict=False):
            layers += [nn.LayerNorm(inputs), nn.Linear(inputs, outputs), nn.GELU()]
        self.embed = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded particles."""
        return self.embed(self.input_bn(x).transpose(1, 2))


class PairEmbed(nn.Module):
    """Pair features to one number a head, (N, heads, P, P)."""

    def __init__(self, widths: Sequence[int], heads: int, activation: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(4)]
        for inputs, outputs in zip([4, *widths], [*widths, heads], strict=True):
            layers += [nn.Conv1d(inputs, outputs, 1), nn.BatchNorm1d(outputs), nn.GELU()]
        self.embed = nn.Sequential(*(layers if activation else layers[:-1]))

    def forward(self, pairs: Tensor) -> Tensor:
        """Return what is added to the logits of attention."""
        return self.embed(pairs.flatten(2)).unflatten(2, pairs.shape[2:])


class Attention(nn.Module):
    """Attention of several heads, projections packed as query, key, value."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        """Return (N, Q, width) for (N, Q, width), (N, K, width) and what is added to logits, (N, heads or 1, Q, K)."""
        weights, biases = self.in_proj.weight.chunk(3), self.in_proj.bias.chunk(3)
        given = zip((query, keys, keys), weights, biases, strict=True)
        q, k, v = (nn.functional.linear(x, w, b).unflatten(2, (self.heads, -1)).transpose(1, 2) for x, w, b in given)
        logits = q @ k.transpose(2, 3) / math.sqrt(q.size(3)) + bias
        return self.out_proj((self.dropout(logits.softmax(3)) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a feed-forward network, each between norms, heads and residual scaled by learned numbers."""

    def __init__(self, width: int, hidden: int, heads: int, dropout: float, head_scaling: str) -> None:
        super().__init__()
        self.heads, self.head_scaling = heads, head_scaling
        self.c_attn = nn.Parameter(torch.ones(heads))
        self.w_resid = nn.Parameter(torch.ones(width))
        self.pre_attn_norm = nn.LayerNorm(width)
        self.attn = Attention(width, heads, dropout)
        self.post_attn_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.pre_fc_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.post_fc_norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor, bias: Tensor, token: Tensor | None = None) -> Tensor:
        """Return x (N, P, width) after the block, or the class token (N, 1, width), which attends to itself and x."""
        if token is None:
            kept, keys = x, self.pre_attn_norm(x)
            query = keys
        else:
            kept = query = token
            keys = self.pre_attn_norm(torch.cat([token, x], dim=1))
        y = self.attn(query, keys, bias).unflatten(2, (self.heads, -1)) * self.c_attn.unsqueeze(1)
        y = (y.transpose(2, 3) if self.head_scaling == "transposed" else y).flatten(2)
        kept = kept + self.dropout(self.post_attn_norm(y))
        z = self.dropout(nn.functional.gelu(self.fc1(self.pre_fc_norm(kept))))
        return self.dropout(self.fc2(self.post_fc_norm(z))) + self.w_resid * kept


class ParticleTransformer(nn.Module):
    """The network; see `modelferry.families.particle_transformer.family` for the arguments."""

    def __init__(
        self,
        features: int,
        classes: int,
        embed: Sequence[int],
        pair_embed: Sequence[int],
        heads: int,
        layers: int,
        class_layers: int,
        hidden: int,
        dense: Sequence[int],
        head_scaling: str,
        pair_activation: bool,
    ) -> None:
        super().__init__()
        width = embed[-1]
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.embed = Embed(features, embed)
        self.pair_embed = PairEmbed(pair_embed, heads, pair_activation)
        self.blocks = nn.ModuleList(Block(width, hidden, heads, DROPOUT, head_scaling) for _ in range(layers))
        self.cls_blocks = nn.ModuleList(Block(width, hidden, heads, 0.0, head_scaling) for _ in range(class_layers))
        self.norm = nn.LayerNorm(width)
        sizes = [width, *dense]
        made = [
            nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(DROPOUT)) for a, b in zip(sizes, dense, strict=False)
        ]
        self.fc = nn.Sequential(*made, nn.Linear(sizes[-1], classes))

    def forward(self, pf_features: Tensor, pf_vectors: Tensor, pf_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, classes) and the embedding (N, width) for (N, F, P), (N, 4, P) and (N, 1, P)."""
        real = pf_mask != 0
        x = self.embed(pf_features).masked_fill(~real.transpose(1, 2), 0)
        absent = torch.zeros_like(real, dtype=x.dtype).masked_fill(~real, ABSENT).unsqueeze(1)
        bias = self.pair_embed(pair_features(pf_vectors).to(x.dtype)) + absent
        for block in self.blocks:
            x = block(x, bias)
        token = self.cls_token.expand(len(x), -1, -1)
        with_token = nn.functional.pad(absent, (1, 0))
        for block in self.cls_blocks:
            token = block(x, with_token, token)
        embedding = self.norm(token).squeeze(1)
        return self.fc(embedding), embedding
