"""Dropout left out and weights transposed: names stay, values stay."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelferry.transforms.dropout import remove_dropout
from modelferry.transforms.linear import Product, transpose_linear, transpose_weights


def test_no_dropout_is_left_and_other_layers_keep_their_names() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Linear(3, 2), nn.Dropout1d()), nn.AlphaDropout())
    before = list(network.state_dict())
    x = torch.ones(64, 3)
    expected = network.eval()(x)
    assert remove_dropout(network) is network
    assert not any(isinstance(module, nn.modules.dropout._DropoutNd) for module in network.modules())
    assert list(network.state_dict()) == before
    assert torch.equal(network.train()(x), expected)


@given(st.integers(1, 6), st.integers(1, 6), st.lists(st.integers(1, 4), max_size=3), st.integers(0, 2**20))
def test_product_equals_linear(inputs: int, outputs: int, axes: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Sequential(nn.Linear(inputs, outputs)), nn.LeakyReLU(), nn.Linear(outputs, 2)).double()
    x = torch.randn(*axes, inputs, dtype=torch.float64)
    expected, state = network(x), transpose_weights(network.state_dict())
    transpose_linear(network).double().load_state_dict(state, strict=True)
    assert isinstance(network[0][0], Product)
    assert not any(isinstance(module, nn.Linear) for module in network.modules())
    assert torch.allclose(network(x), expected, rtol=1e-12, atol=1e-12)
