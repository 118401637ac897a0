"""Expressions of data cards: ``np.log(part_pt / jet_pt)``. Parsed and checked against a list, never executed as code.

An expression has names, numbers, arithmetic, comparisons, ``& | ~``, and calls of the functions below, with or without
the ``np.`` or ``ak.`` that weaver wants. What is said of jets and of particles mixes: each particle gets its jet's.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.families.jets.columns import Jagged, Value

LONGEST, DEEPEST = 5_000, 200
"""Characters of an expression, and levels of its syntax tree: a sum of n terms has n."""
MODULES = ("np", "numpy", "ak", "awkward", "math")
LARGEST = float(np.finfo(np.float64).max)
CONSTANTS = {"pi": np.pi, "e": np.e, "inf": np.inf, "nan": np.nan}
BINARY: Mapping[type[ast.operator], Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
UNARY: Mapping[type[ast.unaryop], Callable] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ROUNDED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("log", "log10", "log2", "log1p", "exp", "expm1", "sin", "cos", "tan", "arcsin", "arccos"), ("x",)),
    **dict.fromkeys(("arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"), ("x",)),
    "arctan2": ("y", "x"),
}
"""Functions that float32 libraries compute to some units in the last place, and each in its own way."""
ELEMENTWISE: Mapping[str, tuple[str, ...]] = {
    **ROUNDED,
    **dict.fromkeys(("sqrt", "square", "abs", "absolute", "sign", "floor", "ceil", "isnan", "isfinite"), ("x",)),
    **dict.fromkeys(("ones_like", "zeros_like", "logical_not"), ("x",)),
    **dict.fromkeys(("power", "hypot", "minimum", "maximum", "logical_and", "logical_or", "logical_xor"), ("x", "y")),
    "clip": ("x", "low", "high"),
    "where": ("condition", "x", "y"),
}
"""NumPy's functions of the same names. A third argument of ``np.maximum`` would be written to: counts are checked."""
REDUCTIONS: Mapping[str, tuple[np.ufunc, Any]] = {
    "sum": (np.add, 0.0),
    "max": (np.maximum, -np.inf),
    "min": (np.minimum, np.inf),
    "any": (np.logical_or, False),
    "all": (np.logical_and, True),
}
"""Over the particles of a jet, and what a jet without any gives."""
COUNTS = ("num", "count")
AXIS = ("axis=1", "axis=-1")
"""What weaver writes to sum over the particles of a jet; no other axis is known."""
ARGUMENTS: Mapping[str, tuple[str, ...]] = {**ELEMENTWISE, **dict.fromkeys((*REDUCTIONS, *COUNTS), ("particles",))}
"""All functions, and the arguments that each takes, by position only."""


@dataclass(frozen=True)
class Expression:
    """A checked expression; make one with `parse`."""

    source: str

    @cached_property
    def tree(self) -> ast.expr:
        """The syntax tree, all of whose nodes are known; raises `ConfigError`, naming what is not allowed in it."""
        tree = parse_tree(self.source)
        _check(tree, self.source)
        return tree

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that it reads."""
        return frozenset(names_in(self.tree))

    def evaluate(self, values: Mapping[str, Value], rounded: bool = False) -> Value:
        """Return its value for all jets at once.

        With `rounded`, logarithms and the like of float32 are rounded once from float64, the same on every machine.
        """
        try:
            with np.errstate(all="ignore"):
                result = _evaluate(self.tree, values, rounded)
        except (TypeError, ValueError) as error:  # NumPy's, such as for & of numbers that are not true or false
            reason = str(error).splitlines()[0]
            raise ConfigError(f"'{_shown(self.source)}' cannot be computed: {reason}", "see docs/jets.md") from None
        return result if isinstance(result, Jagged) else np.asarray(result)


def parse(source: str) -> Expression:
    """Return an expression; raise `ConfigError`, naming what is not allowed in it."""
    expression = Expression(" ".join(str(source).split()))
    expression.tree  # noqa: B018 - building it is the check
    return expression


def parse_tree(source: str) -> ast.expr:
    """Return the syntax tree of an expression; raise `ConfigError` if it has none, or is too long or too deep."""
    if len(source) > LONGEST:
        remedy = f"at most {LONGEST:,} are allowed: divide it into new_variables"
        raise ConfigError(f"'{_shown(source)}' has {len(source):,} characters", remedy)
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), "it is too complex")
        raise ConfigError(f"'{_shown(source)}' is not an expression: {reason}", "see docs/jets.md") from None
    check_depth(tree, source, DEEPEST)
    return tree


def check_depth(tree: ast.expr, source: str, deepest: int) -> None:
    """Raise `ConfigError` if a tree has more levels than `deepest`."""
    level: list[ast.AST] = [tree]
    for _ in range(deepest):
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    if level:
        remedy = f"at most {deepest} are allowed: divide it into new_variables"
        raise ConfigError(f"'{_shown(source)}' has more than {deepest} levels of operations", remedy)


def _shown(source: str) -> str:
    return source if len(source) <= 100 else f"{source[:100]}…"


def names_in(node: ast.expr) -> set[str]:
    """Return the names of columns in a checked tree."""
    if isinstance(node, ast.Name):
        return {node.id} - CONSTANTS.keys()
    if isinstance(node, ast.Call):
        return {name for argument in node.args for name in names_in(argument)}
    if isinstance(node, ast.Attribute):
        return set()
    return {name for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) for name in names_in(child)}


def function_of(node: ast.expr) -> str | None:
    """Return the name of a function or constant without its module; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in MODULES:
        return node.attr
    return None


def _check(node: ast.AST, source: str) -> None:
    def refuse(what: str, remedy: str = "see docs/jets.md for what is") -> ConfigError:
        return ConfigError(f"'{_shown(source)}': {_shown(what)} is not allowed", remedy)

    children: list[ast.expr]
    match node:
        case ast.BinOp(op=op) if type(op) in BINARY:
            children = [node.left, node.right]
        case ast.UnaryOp(op=op) if type(op) in UNARY:
            children = [node.operand]
        case ast.Compare() if all(type(op) in COMPARISONS for op in node.ops):
            children = [node.left, *node.comparators]
        case ast.Constant(value=float()) | ast.Name():
            children = []
        case ast.Constant(value=int(value)) if abs(value) <= LARGEST:
            children = []
        case ast.Attribute() if function_of(node) in CONSTANTS:
            children = []
        case ast.Call():
            name = str(function_of(node.func))
            if name not in ARGUMENTS:
                raise refuse(f"the function '{ast.unparse(node.func)}'", did_you_mean(name, ARGUMENTS))
            wanted, given = len(ARGUMENTS[name]), len(node.args)
            remedy = f"write {name}({', '.join(ARGUMENTS[name])})"
            if wanted != given:
                takes = f"{wanted} argument{'s' if wanted > 1 else ''}"
                raise ConfigError(f"'{_shown(source)}': '{name}' takes {takes}, not {given}", remedy)
            if any(name in ELEMENTWISE or ast.unparse(keyword) not in AXIS for keyword in node.keywords):
                raise refuse(f"a keyword of '{name}'", f"{remedy}, only sums over particles may have axis=1")
            children = list(node.args)
        case ast.BoolOp():
            raise refuse("'and' or 'or'", "write & or |, each side in parentheses")
        case _:
            raise refuse(f"'{ast.unparse(node)}'")
    for child in children:
        _check(child, source)


def _evaluate(node: ast.expr, values: Mapping[str, Value], rounded: bool) -> Any:
    def inner(part: ast.expr) -> Any:
        return _evaluate(part, values, rounded)

    match node:
        case ast.Constant():
            return node.value if isinstance(node.value, bool) else float(node.value)  # type: ignore[arg-type]
        case ast.Name() if node.id in values:
            return values[node.id]
        case ast.Name() | ast.Attribute():
            name = str(function_of(node))
            if name not in CONSTANTS:
                raise ConfigError(f"no column '{name}'", did_you_mean(name, values))
            return CONSTANTS[name]
        case ast.UnaryOp():
            return _operate(UNARY[type(node.op)], inner(node.operand))
        case ast.BinOp():
            return _operate(BINARY[type(node.op)], inner(node.left), inner(node.right))
        case ast.Compare():
            sides = [inner(side) for side in (node.left, *node.comparators)]
            result = _operate(COMPARISONS[type(node.ops[0])], *sides[:2])
            for index, op in enumerate(node.ops[1:], 1):
                following = _operate(COMPARISONS[type(op)], *sides[index : index + 2])
                result = _operate(operator.and_, result, following)
            return result
        case ast.Call():
            return _call(str(function_of(node.func)), [inner(argument) for argument in node.args], rounded)
    raise AssertionError(node)


def _operate(operation: Callable, *operands: Any) -> Any:
    """Apply an operator; numbers of the source are computed in float64 (9**9**9 is inf), and take a column's type."""
    if all(type(operand) in (float, bool) for operand in operands):
        result = operation(*(np.asarray(operand)[()] for operand in operands)).item()
        return float(result) if type(result) is int else result
    return elementwise(operation, *operands)


def _call(name: str, arguments: list[Any], rounded: bool) -> Any:
    if name in ELEMENTWISE:
        function = getattr(np, name)
        return elementwise(_rounded_once(function) if rounded and name in ROUNDED else function, *arguments)
    of = arguments[0]
    if not isinstance(of, Jagged):
        raise ConfigError(f"'{name}' of a number a jet", "give it a variable of particles")
    if name in COUNTS:
        return of.counts.astype(np.float32)
    particles = of.values
    if particles.dtype == bool:  # how many, whether any, whether all
        name = {"max": "any", "min": "all"}.get(name, name)
        particles = particles.astype(np.float32) if name == "sum" else particles
    ufunc, empty = REDUCTIONS[name]
    result = np.full(len(of.counts), empty, bool if name in ("any", "all") else particles.dtype)
    some = of.counts > 0
    starts = np.cumsum(of.counts) - of.counts
    if some.any():
        result[some] = ufunc.reduceat(particles, starts[some])
    return result


def _rounded_once(function: Callable) -> Callable:
    def call(*arguments: Any) -> Any:
        narrow = any(getattr(argument, "dtype", None) == np.float32 for argument in arguments)
        result = function(*(np.asarray(argument, np.float64) for argument in arguments))
        return result.astype(np.float32) if narrow else result

    return call


def elementwise(function: Callable, *arguments: Any) -> Any:
    """Apply a function of arrays; a jet's number is repeated for its particles if any argument is of particles."""
    counts = next((argument.counts for argument in arguments if isinstance(argument, Jagged)), None)
    if counts is None:
        return function(*arguments)
    return Jagged(function(*(_of_particles(argument, counts) for argument in arguments)), counts)


def _of_particles(argument: Any, counts: np.ndarray) -> Any:
    if isinstance(argument, Jagged):
        return argument.values
    return np.repeat(argument, counts) if np.ndim(argument) else argument
