"""The first linear layer of an edge convolution on nodes equals the one on edges to 1e-12 in float64."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelferry.families.transforms.edge_convolution import split_edge_linear


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(0, 12), st.integers(0, 2**20))
def test_node_products_equal_the_edge_product(inputs: int, outputs: int, nodes: int, edges: int, seed: int) -> None:
    torch.manual_seed(seed)
    edge, node = nn.Linear(2 * inputs, outputs).double(), nn.Linear(inputs, 2 * outputs).double()
    state = split_edge_linear(nn.ModuleDict({"edge": edge}).state_dict(), "edge", "node")
    nn.ModuleDict({"node": node}).load_state_dict(state, strict=True)
    x = torch.randn(nodes, inputs, dtype=torch.float64)
    i, j = torch.randint(nodes, (2, edges))
    own, other = node(x).chunk(2, dim=1)
    expected = edge(torch.cat([x[i], x[j] - x[i]], dim=1))
    assert torch.allclose(own[i] + other[j], expected, rtol=1e-12, atol=1e-12)
