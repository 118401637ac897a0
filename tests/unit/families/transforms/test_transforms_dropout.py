"""Dropout left out: names stay, values stay."""

import torch
from torch import nn

from modelferry.families.transforms.dropout import remove_dropout


def test_no_dropout_is_left_and_other_layers_keep_their_names() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Linear(3, 2), nn.Dropout1d()), nn.AlphaDropout())
    before = list(network.state_dict())
    x = torch.ones(64, 3)
    expected = network.eval()(x)
    assert remove_dropout(network) is network
    assert not any(isinstance(module, nn.modules.dropout._DropoutNd) for module in network.modules())
    assert list(network.state_dict()) == before
    assert torch.equal(network.train()(x), expected)
