"""Expressions of data cards: an answer or one line, whatever is written, and no column is changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelferry.core.errors import ConfigError
from modelferry.families.jets import preparation_module
from modelferry.families.jets.columns import Jagged, Value
from modelferry.families.jets.expressions import ARGUMENTS, ELEMENTWISE, Expression, parse

COUNTS = np.array([3, 0, 1])
PARTICLES = ("a", "b", "c", "d", "f")
JETS = ("jet_a", "jet_b", "jet_c", "jet_d", "jet_f")


def columns() -> dict[str, Value]:
    """Return columns of three jets with four particles in all, no two of which are alike."""
    random = np.random.default_rng(0)
    particles = {name: Jagged(random.uniform(0.1, 0.9, 4).astype(np.float32), COUNTS) for name in PARTICLES}
    return {**particles, **{name: random.uniform(0.1, 0.9, 3).astype(np.float32) for name in JETS}}


def flat(value: Value) -> np.ndarray:
    return value.values if isinstance(value, Jagged) else value


@pytest.mark.parametrize("names", [PARTICLES, JETS], ids=["particles", "jets"])
@pytest.mark.parametrize("count", range(6))
@pytest.mark.parametrize("function", ARGUMENTS)
@pytest.mark.parametrize("prefix", ["", "np."])
def test_a_function_takes_its_arguments_only_and_changes_none(
    function: str, count: int, names: tuple[str, ...], prefix: str
) -> None:
    source, takes = f"{prefix}{function}({', '.join(names[:count])})", len(ARGUMENTS[function])
    if count != takes:
        wanted = (
            rf"'{function}' takes {takes} arguments?, not {count}; write {function}\({', '.join(ARGUMENTS[function])}\)"
        )
        with pytest.raises(ConfigError, match=wanted) as caught:
            parse(source)
        assert "\n" not in str(caught.value)
        with pytest.raises(ConfigError):  # also if made without `parse`
            Expression(source).evaluate(columns())
        return
    values = columns()
    for rounded in (False, True):
        if function not in ELEMENTWISE and names is JETS:
            with pytest.raises(ConfigError, match="of a number a jet"):
                parse(source).evaluate(values, rounded)
        else:
            found = parse(source).evaluate(values, rounded)
            assert flat(found).shape == ((4,) if function in ELEMENTWISE and names is PARTICLES else (3,))
    before = columns()
    assert all(np.array_equal(flat(values[name]), flat(before[name])) for name in before)


@given(
    st.sampled_from(sorted(ELEMENTWISE)),
    st.lists(st.sampled_from((*PARTICLES, *JETS, "-a", "b * 2", "jet_a + 1", "pi")), max_size=5),
)
def test_any_call_is_answered_or_refused_and_changes_no_column(function: str, arguments: list[str]) -> None:
    values, before = columns(), columns()
    if len(arguments) == len(ARGUMENTS[function]):
        parse(f"{function}({', '.join(arguments)})").evaluate(values)
    else:
        with pytest.raises(ConfigError, match="takes"):
            parse(f"{function}({', '.join(arguments)})")
    assert all(np.array_equal(flat(values[name]), flat(before[name])) for name in before)


@pytest.mark.parametrize(("source", "said"), [
    ("sum(a, axis=0)", "a keyword of 'sum' is not allowed; write sum(particles), only sums over"),
    ("sum(a, axis=None)", "a keyword of 'sum'"),
    ("sum(a, 1)", "'sum' takes 1 argument, not 2"),
    ("clip(a, low=0, high=1)", "'clip' takes 3 arguments, not 1"),
    ("maximum(a, b, out=a)", "a keyword of 'maximum'"),
    ("maximum(a, b, where=c)", "a keyword of 'maximum'"),
    ("log(a, axis=1)", "a keyword of 'log'"),
    ("maximum(*a)", "'maximum' takes 2 arguments, not 1"),
    ("maximum(a, *b)", "'*b' is not allowed"),
    ("maximum(a, b, **c)", "a keyword of 'maximum'"),
])  # fmt: skip
def test_arguments_are_positional_and_only_the_axis_of_particles_is_named(source: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(source)
    assert said in str(caught.value)


@pytest.mark.parametrize("axis", ["", ", axis=1", ", axis=-1"])
def test_the_axis_of_particles_may_be_named(axis: str) -> None:
    assert np.allclose(flat(parse(f"sum(a{axis})").evaluate(columns()))[1:], [0, flat(columns()["a"])[3]])


@pytest.mark.parametrize("function", [*preparation_module.FUNCTIONS, *preparation_module.ROUNDED])
def test_a_network_computes_what_the_card_says(function: str) -> None:
    names = ["a > 0.5", "b", "c"] if function == "where" else list(PARTICLES)
    expression = parse(f"{function}({', '.join(names[: len(ARGUMENTS[function])])})")
    values = columns()
    tensors = {name: torch.from_numpy(flat(values[name])) for name in PARTICLES}
    found: Any = preparation_module.module_of(expression)(tensors)
    expected = flat(expression.evaluate(values, rounded=True))
    if function == "power":  # not rounded once: NumPy's and PyTorch's differ in the last place
        np.testing.assert_array_max_ulp(found.numpy(), expected, 1)
    else:
        assert np.array_equal(found.numpy(), expected)
