from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.core.errors import ContractError

CONTRACT = Contract(
    layout="dense",
    inputs=(
        Tensor(name="x", dtype="float32", shape=("events", "particles", 3), features=("E", "pt", "eta"), unit="GeV"),
        Tensor(name="mask", dtype="bool", shape=("events", "particles")),
    ),
    outputs=(Tensor(name="logits", dtype="float32", shape=("events", 2)),),
    dimensions=(
        Dimension(name="events", minimum=1, typical=4, maximum=8),
        Dimension(name="particles", minimum=2, typical=5, maximum=10),
    ),
)


def inputs(events: int = 4, particles: int = 5, **changes: np.ndarray) -> Arrays:
    good = {"x": np.zeros((events, particles, 3), np.float32), "mask": np.ones((events, particles), bool)}
    return {**good, **changes}


@given(events=st.integers(0, 12), particles=st.integers(0, 12))
def test_sizes_are_accepted_exactly_within_their_ranges(events: int, particles: int) -> None:
    if 1 <= events <= 8 and 2 <= particles <= 10:
        CONTRACT.check(inputs(events, particles))
    else:
        with pytest.raises(ContractError, match="allowed: "):
            CONTRACT.check(inputs(events, particles))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"x": np.zeros((4, 5, 3), np.float64)}, r"'x' is float64; give it as float32"),
        ({"mask": np.ones((4, 5), np.int64)}, r"'mask' is int64; give it as bool"),
        ({"x": np.zeros((4, 5), np.float32)}, r"'x' has shape \(4, 5\)"),
        ({"x": np.zeros((4, 5, 4), np.float32)}, r"'x', axis 2 has size 4; expected 3"),
        ({"mask": np.ones((4, 6), bool)}, r"'mask', axis 1 \('particles'\) has size 6; another input has 5"),
        ({"extra": np.zeros(1)}, r"inputs are .*extra"),
    ],
)
def test_inputs_outside_the_contract_are_named(changes: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ContractError, match=wanted):
        CONTRACT.check(inputs(**changes))


def test_missing_input_is_named() -> None:
    with pytest.raises(ContractError, match=r"asks for \['x', 'mask'\]"):
        CONTRACT.check({"x": inputs()["x"]})


def test_contract_survives_json() -> None:
    assert Contract.model_validate_json(CONTRACT.model_dump_json()) == CONTRACT
