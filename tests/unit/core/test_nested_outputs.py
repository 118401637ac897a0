"""Names of nested outputs, and the hook that flattens them."""

from __future__ import annotations

import copy
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from modelferry.core.errors import NetworkError
from modelferry.core.nested_outputs import flat, named, return_tuple

Pair = namedtuple("Pair", ["first", "second"])
T = [torch.full((1,), float(i)) for i in range(9)]


@dataclass
class Found:
    boxes: Tensor
    scores: list[Tensor]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (T[0], ["output"]),
        ((T[0], T[1]), ["output_0", "output_1"]),
        ([T[0], (T[1], T[2])], ["output_0", "output_1_0", "output_1_1"]),
        ({"b": T[0], "a": T[1]}, ["b", "a"]),
        ({"features": [T[0], T[1]], "x": {"y": T[2]}}, ["features_0", "features_1", "x_y"]),
        (Found(T[0], [T[1], T[2]]), ["boxes", "scores_0", "scores_1"]),
        (Pair(T[0], Pair(T[1], T[2])), ["first", "second_first", "second_second"]),
        ((T[0], None, T[1]), ["output_0", "output_2"]),
        ({0: T[0], 1: T[1]}, ["output_0", "output_1"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_names_are_paths_in_the_order_of_the_network(value: Any, names: list[str]) -> None:
    found = named(value)
    assert list(found) == names
    assert [float(tensor) for tensor in found.values()] == list(range(len(names)))
    assert all(one is other for one, other in zip(flat(value), found.values(), strict=True))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": T[0], "n": 3}, "returns a int as 'n'"),
        ("text", "returns a str, which is not a tensor"),
        (Found, "returns a type"),
        ({}, "returns no tensor"),
        (None, "returns no tensor"),
        ({"a_0": T[0], "a": [T[1]]}, "two outputs of the network would be called 'a_0'"),
    ],
)
def test_what_has_no_name_is_refused(value: Any, said: str) -> None:
    with pytest.raises(NetworkError, match=said):
        named(value)


nested = st.recursive(
    st.just(T[0]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


@given(nested)
def test_every_tensor_is_there_once_under_a_name_of_its_own(value: Any) -> None:
    leaves = torch.utils._pytree.tree_leaves(value)
    assert len(named(value)) == len(flat(value)) == len(leaves)


def test_network_returns_the_tuple_itself_and_keeps_its_weights_names() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Found:
            return Found(self.linear(x), [x, x + 1])

    network, x = Net().eval(), torch.randn(4, 3)
    wanted, before = flat(network(x)), list(network.state_dict())
    hooked = return_tuple(copy.deepcopy(network))
    assert list(hooked.state_dict()) == before
    for form in (
        hooked,
        copy.deepcopy(hooked),
        torch.jit.trace(hooked, (x,)),
        torch.export.export(hooked, (x,)).module(),
    ):
        for one, other in zip(form(x), wanted, strict=True):
            assert torch.equal(one, other)
    assert isinstance(network(x), Found)
