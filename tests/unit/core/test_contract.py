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


def test_a_changed_copy_is_checked_by_its_own_limits_and_equality_asks_for_fields_only() -> None:
    CONTRACT.check(inputs(8))
    wider = tuple(d.model_copy(update={"maximum": 20}) for d in CONTRACT.dimensions)
    changed = CONTRACT.model_copy(update={"dimensions": wider})
    changed.check(inputs(20, 20))
    with pytest.raises(ContractError, match="allowed: 1 to 8"):
        CONTRACT.check(inputs(20, 20))
    unused = CONTRACT.model_copy()
    assert unused == CONTRACT
    assert hash(unused) == hash(CONTRACT)
    assert set(unused.model_dump()) == set(CONTRACT.model_dump()) == set(Contract.model_fields)


def test_integers_are_checked_in_every_call() -> None:
    index = Tensor(name="index", dtype="int64", shape=("events", 2), below="particles")
    contract = CONTRACT.model_copy(update={"inputs": (*CONTRACT.inputs, index)})
    for allowed in (0, 4):
        contract.check(inputs(index=np.full((4, 2), allowed)))
    for wrong in (5, -1):
        with pytest.raises(ContractError, match=f"'index' holds {wrong}; allowed: 0 to 4"):
            contract.check(inputs(index=np.full((4, 2), wrong)))


def test_what_is_not_an_array_is_refused_after_calls_that_were_right() -> None:
    CONTRACT.check(inputs())
    with pytest.raises(ContractError, match="'mask' is a list"):
        CONTRACT.check(inputs(mask=[True]))  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="inputs are"):
        CONTRACT.check(inputs(extra=[1]))  # type: ignore[arg-type]


def test_contract_survives_json() -> None:
    assert Contract.model_validate_json(CONTRACT.model_dump_json()) == CONTRACT


def test_contract_is_one_line_and_a_table_in_a_notebook() -> None:
    assert repr(CONTRACT) == (
        "<Contract dense: x float32 (events, particles, 3), mask bool (events, particles) → "
        "logits float32 (events, 2); events 1 to 8; particles 2 to 10>"
    )
    page = CONTRACT._repr_html_()
    assert "<td>x</td><td>float32</td><td>events × particles × 3</td><td>GeV</td><td>E, pt, eta</td>" in page
    assert "events 1 to 8, typically 4" in page
    assert "description" not in page, "nothing is described"
