"""Expressions of data cards: an answer or one line, whatever is written, and no column is changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelferry.core.errors import ConfigError
from modelferry.families.jets import Card, preparation_module
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


LEAVES = st.sampled_from((*PARTICLES, *JETS, "0", "9", "5.5", "1e999", "True", "pi", "np.nan", "x", "'text'", "1j"))
OPERATORS = ("+", "-", "*", "/", "%", "**", "&", "|", "^", "<", "==", "!=", "//", "@", "<<", "and", ",", "in")


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.tuples(inner, st.sampled_from(OPERATORS), inner).map(lambda parts: f"({' '.join(parts)})")
    unary = st.tuples(st.sampled_from("+-~"), inner).map("".join)
    call = st.tuples(st.sampled_from(sorted(ARGUMENTS)), st.lists(inner, max_size=3)).map(
        lambda parts: f"np.{parts[0]}({', '.join(parts[1])})"
    )
    return binary | unary | call


ANY_TEXT = st.text("abf0159.+-*/%&|~^<>=!()[]{},'\"\\\n #np_\x00é", max_size=30) | st.text(max_size=20)


@settings(max_examples=1000)
@given(st.recursive(LEAVES, compound, max_leaves=8) | ANY_TEXT)
def test_any_text_is_a_number_or_one_line(source: str) -> None:
    values, before = columns(), columns()
    try:
        answer: Any = flat(parse(source).evaluate(values))
    except ConfigError as error:
        answer = str(error)
    assert len(answer.splitlines()) == 1 if isinstance(answer, str) else answer.dtype.kind in "fib"
    assert all(np.array_equal(flat(values[name]), flat(before[name])) for name in before)


@pytest.mark.parametrize(("source", "expected"), [
    ("9**9**9", np.inf),
    ("-9**9**9 * 0", np.nan),
    ("5%0", np.nan),
    ("1/0", np.inf),
    ("0**-1", np.inf),
    ("(-8)**(1/3)", np.nan),
    ("2**3 - 7 % 4", 5),
    ("5 % (True % True)", np.nan),
    ("~True", False),
    ("1 < 2 < 3", True),
])  # fmt: skip
def test_numbers_are_computed_in_float64(source: str, expected: float) -> None:
    found = parse(source).evaluate({})
    assert np.array_equal(found, expected, equal_nan=True)  # type: ignore[arg-type]
    inside: Any = preparation_module.module_of(parse(source))({})
    assert np.array_equal(inside.numpy(), np.float32(expected), equal_nan=True)


@pytest.mark.parametrize("number", ["2", "2.0", "(1 + 1)", "(6 % 4)", "2**1"])
def test_a_number_takes_the_type_of_the_column(number: str) -> None:
    found = parse(f"jet_a * {number} + jet_b ** {number}").evaluate(columns())
    values = columns()
    assert flat(found).dtype == np.float32
    assert np.array_equal(flat(found), flat(values["jet_a"]) * 2 + flat(values["jet_b"]) ** 2)


@pytest.mark.parametrize(("source", "said"), [
    ("1" * 400, "is not allowed"),
    ("1" * 4500, "is not an expression"),
    ("a + " * 1250 + "a", "has 5,001 characters; at most 5,000 are allowed: divide it into new_variables"),
    ("+".join(["a"] * 201), "has more than 200 levels of operations; at most 200 are allowed"),
    ("-" * 201 + "a", "has more than 200 levels of operations"),
    ("-" * 4990 + "a", "is not an expression|has more than 200 levels"),  # as deep as Python's parser goes here
    ("(" * 1000 + "a" + ")" * 1000, "is not an expression"),
    ("a[" * 199 + "0" + "]" * 199, "is not allowed"),
    ("x + 1", "no column 'x'"),
    ("jet_a & jet_b", "'jet_a & jet_b' cannot be computed: ufunc 'bitwise_and' not supported"),
])  # fmt: skip
def test_what_is_too_long_too_deep_or_without_meaning_is_said_in_one_line(source: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(source).evaluate(columns())
    assert any(reason in str(caught.value) for reason in said.split("|"))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


def test_the_longest_sums_that_are_allowed_are_computed() -> None:
    assert np.allclose(flat(parse("+".join(["jet_a"] * 200)).evaluate(columns())), 200 * flat(columns()["jet_a"]))
    with pytest.raises(ConfigError, match="more than 64 levels of operations; at most 64 are allowed"):
        preparation_module.module_of(parse("+".join(["a"] * 65)))
    torch.export.export(preparation_module.Definition("x", parse("+".join(["a"] * 64))), ({"a": torch.ones(2)},))


@pytest.mark.parametrize(
    "source", ["where(part_px, part_py, 0)", "1 - (part_px > 0)", "(part_px > 0) ** (part_py > 0)"]
)
def test_what_a_network_cannot_compute_is_refused_when_it_is_built(source: str) -> None:
    content: Any = {"new_variables": {"x": source}, "inputs": {"x": {"length": 4, "vars": ["x"]}}}
    with pytest.raises(ConfigError, match=r"cannot be part of a network: .*; see docs/jets.md") as caught:
        preparation_module.Prepare(Card(**content), ["x"])
    assert source in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


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
