"""A family whose deployable has defects to be switched on by weights: compiled once, it is broken in every way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from modelferry.core.contract import Contract
from modelferry.families.charged_higgs_particlenet.family import ChargedHiggsParticleNet
from modelferry.families.charged_higgs_particlenet.flat import EdgeConvolution, FlatParticleNet, mean_by, nearest
from modelferry.families.charged_higgs_particlenet.sizes import NEIGHBOURS

DEFECTS = (
    "edges reversed",
    "edges of the input in all layers",
    "k changed by one",
    "normalisation over the batch",
    "evaluation mode forgotten",
    "features E and Px swapped",
)
LAYOUT = "switchable"


class Switchable(FlatParticleNet):
    """The network in the flat layout, with an integer for each defect: 1 plants it."""

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.register_buffer("planted", torch.zeros(len(DEFECTS), dtype=torch.int64))

    def forward(self, x: Tensor, edge_index: Tensor, graph_input: Tensor, batch: Tensor) -> Tensor:
        backwards, static, more, over, training, swapped = (self.planted[i] == 1 for i in range(len(DEFECTS)))
        x = torch.where(swapped, torch.cat([x[:, 1:2], x[:, :1], x[:, 2:]], dim=1), x)
        edge_index = torch.where(backwards, edge_index.flip(0), edge_index)
        x = self.gn0(x, torch.where(over, torch.zeros_like(batch), batch), graph_input.size(0))
        first = self.conv1.along_edges(x, edge_index)
        second = self.later(self.conv2, first, edge_index, batch, static, more)
        third = self.later(self.conv3, second, edge_index, batch, static, more)
        pooled = mean_by(torch.cat([first, second, third], dim=1), batch, graph_input.size(0))
        y = self.bn0(torch.cat([pooled, graph_input], dim=1))
        for dense, norm in ((self.dense1, self.bn1), (self.dense2, self.bn2)):
            y = torch.nn.functional.leaky_relu(dense(y))
            sound, spread = norm(y), (y - y.mean(0)).square().mean(0)
            y = torch.where(training, (y - y.mean(0)) / (spread + 1e-5).sqrt() * norm.weight + norm.bias, sound)
        return self.output(y)

    def later(
        self, layer: EdgeConvolution, x: Tensor, edge_index: Tensor, batch: Tensor, static: Tensor, more: Tensor
    ) -> Tensor:
        k = NEIGHBOURS + 1
        index, valid = nearest(x, k, batch)
        valid = valid & (torch.arange(k) < NEIGHBOURS + more.to(torch.int64))
        sources = x.index_select(0, index.flatten()).view(-1, k, x.size(1))
        message = layer.mlp(layer.joined(x.unsqueeze(1).expand(-1, k, -1), sources).flatten(0, 1))
        message = message.view(-1, k, layer.outputs).masked_fill(~valid.unsqueeze(2), 0.0)
        mean = message.sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
        return torch.where(static, layer.along_edges(x, edge_index), mean + layer.shortcut(x))


class PlantedFamily(ChargedHiggsParticleNet):
    """The charged-Higgs ParticleNet with one more layout, the input of which is that of the flat one."""

    layouts = (LAYOUT, "flat")
    planted: ClassVar[tuple[str, ...]] = ()

    def transforms(self, layout: str) -> tuple[str, ...]:
        return ()

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        return super().contract(hyperparameters, "flat").model_copy(update={"layout": layout})

    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = frozenset()
    ) -> torch.nn.Module:
        if layout == LAYOUT:
            return Switchable(hyperparameters["hidden"])
        return super().deployable(hyperparameters, layout, transforms)

    def convert(
        self,
        state_dict: Mapping[str, Tensor],
        hyperparameters: Mapping[str, Any],
        layout: str,
        transforms: frozenset[str] = frozenset(),
    ) -> Mapping[str, Tensor]:
        if layout != LAYOUT:
            return state_dict
        return {**state_dict, "planted": torch.tensor([int(defect in self.planted) for defect in DEFECTS])}
