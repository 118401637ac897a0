"""The Particle Transformer as it is exported: pure PyTorch operators, every number of jets and particles.

Without transforms the state-dict keys are those of the trained network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, softmax

from modelferry.families.shared.directions import DeltaR
from modelferry.families.shared.pointwise import batch_norm, pointwise
from modelferry.families.transforms import FOLD_BATCH_NORM, NONE, REMOVE_DROPOUT
from modelferry.families.transforms.batch_norm import fold_into_next, fold_into_previous
from modelferry.families.transforms.dropout import remove_dropout

PAIR_FEATURES = 4


class PairFeatures(nn.Module):
    """Logarithms of kT, z, Δ and m² of pairs, in float32 operation by operation: what cancels must do so equally.

    φ and the logarithm of rapidities go through float64 and are rounded once, so that every runtime has the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.direction = DeltaR()
        self.floor, self.pi = 1e-8, math.pi

    def forward(self, px: Tensor, py: Tensor, pz: Tensor, energy: Tensor, partners: Tensor) -> Tensor:
        """Return (B, R, P, 4) for momenta (B, P), each particle paired with its `partners` (R, P)."""
        pt = (px * px + py * py).sqrt()
        ratio = 1 + 2 * pz / (energy - pz).clamp(min=1e-20)
        rapidity = 0.5 * ratio.double().log().float()
        phi = self.direction.azimuth(px.double(), py.double()).float()
        delta_y = rapidity.unsqueeze(1) - rapidity[:, partners]
        turn = phi.unsqueeze(1) - phi[:, partners] + self.pi
        turn = torch.where(turn >= 2 * self.pi, turn - 2 * self.pi, torch.where(turn < 0, turn + 2 * self.pi, turn))
        delta_phi = turn - self.pi
        delta = (delta_y * delta_y + delta_phi * delta_phi).sqrt()
        other = pt[:, partners]
        softer = torch.minimum(pt.unsqueeze(1), other)
        share = softer / (pt.unsqueeze(1) + other).clamp(min=self.floor)
        x, y, z = (
            px.unsqueeze(1) + px[:, partners],
            py.unsqueeze(1) + py[:, partners],
            pz.unsqueeze(1) + pz[:, partners],
        )
        total = energy.unsqueeze(1) + energy[:, partners]
        mass = total * total - (x * x + y * y + z * z)
        return torch.stack([softer * delta, share, delta, mass], dim=3).clamp(min=self.floor).log()


class Pairs(nn.Module):
    """The pairs of P particles, each once: particle i with i, i + 1, …, i + P // 2, counted around a circle.

    What pairs have in common is symmetric, and most of the arithmetic of this network is spent on it.
    """

    def partners(self, particles: int, device: torch.device) -> Tensor:
        """Return the partner of each particle in each of R = P // 2 + 1 rounds, (R, P)."""
        rounds = torch.arange(particles // 2 + 1, device=device)
        beyond = torch.arange(particles, device=device) + rounds.unsqueeze(1) - particles
        return torch.where(beyond < 0, beyond + particles, beyond)

    def of_all(self, once: Tensor) -> Tensor:
        """Return what stands at (i, j) for all i and j, (B, H, P, P), for what was computed once, (B, H, R, P)."""
        rounds, particles = once.size(-2), once.size(-1)
        position = torch.arange(particles, device=once.device)
        offset = position - position.unsqueeze(1)
        ahead = torch.where(offset < 0, offset + particles, offset)
        behind = (particles - ahead) * particles + position
        where = torch.where(ahead - rounds < 0, ahead * particles + position.unsqueeze(1), behind)
        return once.flatten(2)[:, :, where]


class Embed(nn.Module):
    """Features of particles to the width of the network, (B, P, width) for (B, F, P)."""

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
    """Pair features to one number a head; pairs are the rows of one matrix."""

    def __init__(self, widths: Sequence[int], heads: int, activation: bool, folded: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [batch_norm(PAIR_FEATURES, folded)]
        for inputs, outputs in zip([PAIR_FEATURES, *widths], [*widths, heads], strict=True):
            layers += [pointwise(inputs, outputs, 1, folded, bias=True), batch_norm(outputs, folded), nn.GELU()]
        self.embed = nn.Sequential(*(layers if activation else layers[:-1]))

    def forward(self, pairs: Tensor) -> Tensor:
        """Return (rows, heads) for (rows, 4)."""
        return self.embed(pairs)


class Attention(nn.Module):
    """Attention of several heads, projections packed as query, key, value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads, self.scale = width, heads, (width // heads) ** -0.5
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def among(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return (B, P, width) for particles that attend to each other; `bias` is (B, heads, P, P)."""
        query, keys, values = self.in_proj(x).chunk(3, dim=2)
        return self.attended(query, keys, values, bias)

    def to_token(self, token: Tensor, x: Tensor, bias: Tensor) -> Tensor:
        """Return (B, 1, width) for a token (B, 1, width) that attends to x (B, K, width); `bias` is (B, 1, 1, K)."""
        own, shared = self.width, 2 * self.width
        query = linear(token, self.in_proj.weight[:own], self.in_proj.bias[:own])
        keys, values = linear(x, self.in_proj.weight[own:], self.in_proj.bias[own:]).split([own, shared - own], dim=2)
        return self.attended(query, keys, values, bias)

    def attended(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Return what the queries collect, projected."""
        logits = self.by_head(query) @ self.by_head(keys).transpose(2, 3) * self.scale + bias
        collected = softmax(logits, dim=3) @ self.by_head(values)
        return self.out_proj(collected.transpose(1, 2).flatten(2))

    def by_head(self, x: Tensor) -> Tensor:
        """Return (B, heads, P, width / heads) for (B, P, width)."""
        return x.view(x.size(0), x.size(1), self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Attention and a feed-forward network, each between norms, heads and residual scaled by learned numbers."""

    __constants__: ClassVar[list[str]] = ["transposed"]

    def __init__(self, width: int, hidden: int, heads: int, transposed: bool) -> None:
        super().__init__()
        self.heads, self.transposed = heads, transposed
        self.c_attn = nn.Parameter(torch.ones(heads))
        self.w_resid = nn.Parameter(torch.ones(width))
        self.pre_attn_norm = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.post_attn_norm = nn.LayerNorm(width)
        self.pre_fc_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.post_fc_norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return particles (B, P, width) after the block."""
        return self.finished(x, self.attn.among(self.pre_attn_norm(x), bias))

    def finished(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what follows attention, whose output is `y`."""
        y = y.view(y.size(0), y.size(1), self.heads, -1) * self.c_attn.unsqueeze(1)
        if self.transposed:
            y = y.transpose(2, 3)
        x = x + self.post_attn_norm(y.flatten(2))
        return self.fc2(self.post_fc_norm(gelu(self.fc1(self.pre_fc_norm(x))))) + self.w_resid * x


class ClassBlock(Block):
    """A block whose class token attends to itself and to particles, which stay as they are."""

    def forward(self, token: Tensor, x: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]
        """Return the token (B, 1, width) after the block."""
        keys = self.pre_attn_norm(torch.cat([token, x], dim=1))
        return self.finished(token, self.attn.to_token(token, keys, bias))


class ParticleTransformer(nn.Module):
    """The deployable: pf_features (B, F, P), pf_vectors (B, 4, P), pf_mask (B, 1, P) → logits and embedding."""

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
        transforms: frozenset[str] = NONE,
    ) -> None:
        super().__init__()
        width, folded, transposed = embed[-1], FOLD_BATCH_NORM in transforms, head_scaling == "transposed"
        self.heads = heads
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.embed = Embed(features, embed)
        self.pairs = Pairs()
        self.pair_features = PairFeatures()
        self.pair_embed = PairEmbed(pair_embed, heads, pair_activation, folded)
        self.blocks = nn.ModuleList(Block(width, hidden, heads, transposed) for _ in range(layers))
        self.cls_blocks = nn.ModuleList(ClassBlock(width, hidden, heads, transposed) for _ in range(class_layers))
        self.norm = nn.LayerNorm(width)
        made: list[nn.Module] = []
        for inputs, outputs in zip([width, *dense], dense, strict=False):
            made.append(nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.1)))
        self.fc = nn.Sequential(*made, nn.Linear([width, *dense][-1], classes))
        if REMOVE_DROPOUT in transforms:
            remove_dropout(self)

    def forward(self, pf_features: Tensor, pf_vectors: Tensor, pf_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, classes) and the embedding (B, width)."""
        real = pf_mask != 0
        jets, particles = real.size(0), real.size(2)
        partners = self.pairs.partners(particles, real.device)
        momenta = torch.where(real, pf_vectors, 0.0)
        x = torch.where(real.transpose(1, 2), self.embed(pf_features), 0.0)
        pairs = self.pair_features(momenta[:, 0], momenta[:, 1], momenta[:, 2], momenta[:, 3], partners)
        absent = torch.where(real, 0.0, -1e30).to(x.dtype).unsqueeze(1)
        embedded = self.pair_embed(pairs.flatten(0, 2)).view(jets, -1, particles, self.heads).permute(0, 3, 1, 2)
        bias = self.pairs.of_all(embedded) + absent
        for block in self.blocks:
            x = block(x, bias)
        token = self.cls_token.repeat(jets, 1, 1)  # in memory: products of what is not are another order of sums
        absent = torch.cat([torch.zeros_like(absent[:, :, :, :1]), absent], dim=3)
        for block in self.cls_blocks:
            token = block(token, x, absent)
        embedding = self.norm(token).squeeze(1)
        return self.fc(embedding), embedding


def converted(state_dict: Mapping[str, Tensor], transforms: frozenset[str]) -> dict[str, Tensor]:
    """Return the weights of a transformed deployable for a checkpoint's, computed in float64 and rounded once."""
    if FOLD_BATCH_NORM not in transforms:
        return dict(state_dict)
    stem, dtype = "pair_embed.embed", state_dict["cls_token"].dtype
    state = {name: t.double() if name.startswith(stem) else t for name, t in state_dict.items()}
    layers = sorted(int(n.split(".")[2]) for n, t in state.items() if n.startswith(stem) and t.dim() == 3)
    for layer in layers:
        state[f"{stem}.{layer}.weight"] = state[f"{stem}.{layer}.weight"].flatten(1)
    state = fold_into_next(state, f"{stem}.0", f"{stem}.{layers[0]}")
    for layer in layers:
        state = fold_into_previous(state, f"{stem}.{layer}", f"{stem}.{layer + 1}")
    order = [name for name in state_dict if name in state]
    return {name: state[name].to(dtype) if state[name].is_floating_point() else state[name] for name in order}
