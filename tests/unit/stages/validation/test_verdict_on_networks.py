"""The verdict on whole networks: one that differs from the reference only in some sizes must fail."""

import numpy as np
import pytest
import torch

from checkpoint_samples import formula_state
from modelferry.comparison.difference import Outputs, ill_conditioned, within
from modelferry.comparison.judge import judge
from modelferry.core.tolerances import Tolerance
from modelferry.families import load_family
from modelferry.families.probes import NOT_FINITE, make_probes
from modelferry.stages.validation.reference import evaluate

FAMILY = load_family("charged_higgs_particlenet")
CONTRACT = FAMILY.contract({"hidden": 16}, "flat")
PROBES = [
    probe
    for probe in make_probes(FAMILY, CONTRACT, 1000, 1, [], "")
    if probe.source != NOT_FINITE and CONTRACT.allows(FAMILY.collate(probe.events, "flat"))
]
LABELS = np.repeat([probe.label for probe in PROBES], [len(probe.events) for probe in PROBES])


def evaluated(network: torch.nn.Module, dtype: torch.dtype = torch.float32) -> np.ndarray:
    return evaluate(network.to(dtype), FAMILY, CONTRACT, PROBES, dtype)["logits"]


@pytest.mark.parametrize("weights", ["formula", "fresh"])
def test_probes_of_a_sound_network_are_well_conditioned(weights: str) -> None:
    """Events that are made to be awkward must not use up what is allowed for near-ties."""
    torch.manual_seed(1)
    network = FAMILY.reference({"hidden": 16}).eval()
    if weights == "formula":
        network.load_state_dict(formula_state(16))
    float32, float64 = evaluated(network), evaluated(network, torch.float64)
    near = ill_conditioned(Outputs(float64, float32, float32), Tolerance())
    judgement = judge(Outputs(float64, float32, float32), LABELS, Tolerance(), FAMILY.special(0))
    assert judgement.verdict.passed, (judgement.verdict.reason, sorted(set(LABELS[near])))


def test_static_edges_in_the_later_layers_fail() -> None:
    """What the charged-Higgs export ships today: the input's edges reused in the second and third layer."""
    network = FAMILY.reference({"hidden": 16}).eval()
    network.load_state_dict(formula_state(16))
    deployable = FAMILY.deployable({"hidden": 16}, "flat").eval()
    deployable.load_state_dict(formula_state(16))

    class Static(torch.nn.Module):
        def forward(self, x, edge_index, graph_input, batch):
            from modelferry.families.charged_higgs_particlenet.flat import mean_by

            net, events = deployable, graph_input.size(0)
            first = net.conv1.along_edges(net.gn0(x, batch, events), edge_index)
            second = net.conv2.along_edges(first, edge_index)
            third = net.conv3.along_edges(second, edge_index)
            pooled = mean_by(torch.cat([first, second, third], dim=1), batch, events)
            y = net.bn0(torch.cat([pooled, graph_input], dim=1))
            y = net.bn1(torch.nn.functional.leaky_relu(net.dense1(y)))
            return net.output(net.bn2(torch.nn.functional.leaky_relu(net.dense2(y))))

    float32 = evaluated(network)
    outputs = Outputs(evaluated(network, torch.float64), float32, evaluated(Static()))
    verdict = judge(outputs, LABELS, Tolerance()).verdict
    assert verdict.status == "failed"
    agree = within(outputs.artifact, float32, Tolerance(rtol=1e-4, atol=1e-5))
    few, many = (
        [f"events={events}, particles={size}" for events in (1, 8) for size in sizes]
        for sizes in ((1, 2, 5), (7, 9, 40))
    )
    assert agree[np.isin(LABELS, few)].all()
    assert not agree[np.isin(LABELS, many)].any()
