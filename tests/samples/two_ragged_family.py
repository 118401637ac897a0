"""A family whose events vary in two sizes: tracks and towers, each padded to the most of a call, with a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.families import Family

TRACK, TOWER = ("pt", "eta", "phi", "d0", "charge"), ("et", "eta", "phi")
WIDTH = 8


class Weights(nn.Module):
    """The layers that reference and deployable share by name; each has its own `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.track, self.tower = nn.Linear(len(TRACK), WIDTH), nn.Linear(len(TOWER), WIDTH)
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Sequential(nn.Linear(3 * WIDTH, WIDTH), nn.ReLU(), nn.Dropout(0.2), nn.Linear(WIDTH, 2))


class Reference(Weights):
    """The network on flat lists of tracks, of towers and of pairs of both: nothing is padded."""

    def forward(
        self, tracks: torch.Tensor, track_mask: torch.Tensor, towers: torch.Tensor, tower_mask: torch.Tensor
    ) -> torch.Tensor:
        event_of_track, event_of_tower = track_mask.nonzero()[:, 0], tower_mask.nonzero()[:, 0]
        track, tower = self.track(tracks[track_mask]).relu(), self.tower(towers[tower_mask]).relu()
        first, second = (event_of_track[:, None] == event_of_tower[None, :]).nonzero(as_tuple=True)
        weight = ((self.query(track)[first] * self.key(tower)[second]).sum(1) / WIDTH**0.5).exp()
        norm = torch.zeros(len(track), dtype=weight.dtype).index_add(0, first, weight)
        seen = torch.zeros_like(track).index_add(0, first, tower[second] * (weight / norm[first])[:, None])
        pooled = [
            _mean(values, event, len(tracks)) for values, event in ((track, event_of_track), (tower, event_of_tower))
        ]
        return self.head(torch.cat([*pooled, _mean(track * seen, event_of_track, len(tracks))], 1))


class Deployable(Weights):
    """The network on padded arrays."""

    def forward(
        self, tracks: torch.Tensor, track_mask: torch.Tensor, towers: torch.Tensor, tower_mask: torch.Tensor
    ) -> torch.Tensor:
        track = self.track(tracks).relu().masked_fill(~track_mask.unsqueeze(2), 0.0)
        tower = self.tower(towers).relu().masked_fill(~tower_mask.unsqueeze(2), 0.0)
        scores = torch.matmul(self.query(track), self.key(tower).transpose(1, 2)) / WIDTH**0.5
        scores = scores.masked_fill(~tower_mask.unsqueeze(1), float("-inf"))
        seen = torch.matmul(torch.softmax(scores, 2), tower)
        number_of_tracks = track_mask.sum(1, keepdim=True).to(track.dtype)
        number_of_towers = tower_mask.sum(1, keepdim=True).to(track.dtype)
        pooled = [track.sum(1) / number_of_tracks, tower.sum(1) / number_of_towers]
        return self.head(torch.cat([*pooled, (track * seen).sum(1) / number_of_tracks], 1))


class TwoRagged(Family):
    """Two classes from tracks and towers: their means, and what each track sees of the towers."""

    name = "two_ragged"
    layouts = ("padded",)
    reference_layout = "padded"
    sizes = ("tracks", "towers")

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        return Contract(
            layout=layout,
            inputs=(
                Tensor(name="tracks", dtype="float32", shape=("events", "tracks", len(TRACK)), features=TRACK),
                Tensor(name="track_mask", dtype="bool", shape=("events", "tracks")),
                Tensor(name="towers", dtype="float32", shape=("events", "towers", len(TOWER)), features=TOWER),
                Tensor(name="tower_mask", dtype="bool", shape=("events", "towers")),
            ),
            outputs=(Tensor(name="logits", dtype="float32", shape=("events", 2)),),
            dimensions=(
                Dimension(name="events", minimum=1, typical=8, maximum=32),
                Dimension(name="tracks", minimum=1, typical=10, maximum=30),
                Dimension(name="towers", minimum=1, typical=20, maximum=50),
            ),
            classes=("light", "heavy"),
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> nn.Module:
        return Reference()

    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = frozenset()
    ) -> nn.Module:
        return Deployable()

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        rng = np.random.default_rng(seed)
        return [
            {
                "tracks": rng.normal(size=(dims["tracks"], len(TRACK))).astype(np.float32),
                "towers": rng.normal(size=(dims["towers"], len(TOWER))).astype(np.float32),
            }
            for _ in range(dims["events"])
        ]

    def reordered(self, event: Arrays, rng: np.random.Generator) -> Arrays:
        return {name: rows[rng.permutation(len(rows))] for name, rows in event.items()}

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        tracks, track_mask = _padded([event["tracks"] for event in events])
        towers, tower_mask = _padded([event["towers"] for event in events])
        return {"tracks": tracks, "track_mask": track_mask, "towers": towers, "tower_mask": tower_mask}

    def broken_inputs(self, layout: str | None = None) -> dict[str, Callable[[Arrays, Contract], Arrays]]:
        return {
            "padding taken for tracks": lambda inputs, _: {**inputs, "track_mask": np.ones_like(inputs["track_mask"])},
            "padding taken for towers": lambda inputs, _: {**inputs, "tower_mask": np.ones_like(inputs["tower_mask"])},
        }


def _mean(values: torch.Tensor, event: torch.Tensor, events: int) -> torch.Tensor:
    total = torch.zeros(events, values.size(1), dtype=values.dtype).index_add(0, event, values)
    return total / torch.bincount(event, minlength=events)[:, None]


def _padded(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(entry) for entry in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    padded = np.zeros((*mask.shape, rows[0].shape[1]), np.float32)
    padded[mask] = np.concatenate(rows)
    return padded, mask
