"""The preparation of a data card as part of a network: float32 throughout, operations in the same order.

Written independently of `modelferry.families.jets.prepare`, which it is validated against: the same code parses the
expressions and checks what each function takes, other code computes them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.families.jets.card import Card, Variable
from modelferry.families.jets.expressions import Expression, check_depth, function_of, names_in


def hypot(x: Tensor, y: Tensor) -> Tensor:
    """Return the length of (x, y), rounded once from float64, as the C library does."""
    x, y = x.double(), y.double()
    return (x * x + y * y).sqrt().float()


OPERATORS: Mapping[type[ast.AST], Callable] = {
    ast.Add: torch.add,
    ast.Sub: torch.sub,
    ast.Mult: torch.mul,
    ast.Div: torch.div,
    ast.Pow: torch.pow,
    ast.USub: torch.neg,
    ast.BitAnd: torch.logical_and,
    ast.BitOr: torch.logical_or,
    ast.Invert: torch.logical_not,
    ast.Lt: torch.lt,
    ast.LtE: torch.le,
    ast.Gt: torch.gt,
    ast.GtE: torch.ge,
    ast.Eq: torch.eq,
    ast.NotEq: torch.ne,
}
FUNCTIONS: Mapping[str, Callable] = {
    "sqrt": torch.sqrt,
    "square": torch.square,
    "abs": torch.abs,
    "absolute": torch.abs,
    "sign": torch.sign,
    "power": torch.pow,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "where": torch.where,
    "hypot": hypot,
    "isnan": torch.isnan,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_not": torch.logical_not,
    "ones_like": torch.ones_like,
    "zeros_like": torch.zeros_like,
}

ROUNDED: Mapping[str, Callable] = {
    "log": torch.log,
    "log10": torch.log10,
    "log2": torch.log2,
    "log1p": torch.log1p,
    "exp": torch.exp,
    "sin": torch.sin,
    "cos": torch.cos,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
}
"""Functions that are rounded once from float64: in float32 each runtime has its own."""
DEEPEST = 64
"""Levels of an expression inside a network: exporters follow modules in modules only so far."""


class Name(nn.Module):
    """A column or a new variable."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        """Return its values."""
        return values[self.name]


class Number(nn.Module):
    """A number of an expression, as float32."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = float(value)

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        """Return the number."""
        return torch.full([], self.value)


class Unary(nn.Module):
    """A function of one expression."""

    def __init__(self, function: Callable, first: nn.Module) -> None:
        super().__init__()
        self.function, self.first = function, first

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        """Return the function's values."""
        return self.function(self.first(values))


class Rounded(Unary):
    """A function of one expression, rounded once from float64."""

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        """Return the function's values."""
        return self.function(self.first(values).double()).float()


class Binary(nn.Module):
    """A function of two expressions."""

    def __init__(self, function: Callable, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.function, self.first, self.second = function, first, second

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        """Return the function's values."""
        return self.function(self.first(values), self.second(values))


class Ternary(nn.Module):
    """A function of three expressions."""

    def __init__(self, function: Callable, first: nn.Module, second: nn.Module, third: nn.Module) -> None:
        super().__init__()
        self.function, self.first, self.second, self.third = function, first, second, third

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        """Return the function's values."""
        return self.function(self.first(values), self.second(values), self.third(values))


KINDS = {1: Unary, 2: Binary, 3: Ternary}


def module_of(expression: Expression) -> nn.Module:
    """Return an expression as a module; raise `ConfigError` for what is not elementwise, or too deep to export."""
    check_depth(expression.tree, expression.source, DEEPEST)

    def refuse(what: str) -> ConfigError:
        known = did_you_mean(what, [*FUNCTIONS, *ROUNDED])
        return ConfigError(f"'{expression.source}': '{what}' cannot be part of a network", known)

    def built(node: ast.expr) -> nn.Module:
        match node:
            case ast.expr() if not names_in(node):
                return Number(float(Expression(ast.unparse(node)).evaluate({}, rounded=True)))  # type: ignore[arg-type]
            case ast.Name():
                return Name(node.id)
            case ast.UnaryOp() if type(node.op) in OPERATORS:
                return Unary(OPERATORS[type(node.op)], built(node.operand))
            case ast.BinOp() if type(node.op) in OPERATORS:
                return Binary(OPERATORS[type(node.op)], built(node.left), built(node.right))
            case ast.Compare() if len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
                return Binary(OPERATORS[type(node.ops[0])], built(node.left), built(node.comparators[0]))
            case ast.Call() if (name := str(function_of(node.func))) in ROUNDED:
                return Rounded(ROUNDED[name], built(node.args[0]))
            case ast.Call() if (name := str(function_of(node.func))) in FUNCTIONS:
                return KINDS[len(node.args)](FUNCTIONS[name], *map(built, node.args))
        raise refuse(ast.unparse(node.func if isinstance(node, ast.Call) else node))

    return built(expression.tree)


class Definition(nn.Module):
    """A new variable."""

    def __init__(self, name: str, expression: Expression) -> None:
        super().__init__()
        self.name, self.expression = name, module_of(expression)

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        """Return its values."""
        return self.expression(values)


class Standardise(nn.Module):
    """One channel: clipped and standardised, 0 where it is NaN."""

    def __init__(self, variable: Variable) -> None:
        super().__init__()
        self.name, self.scaled = variable.name, variable.subtract is not None
        self.subtract, self.multiply = float(variable.subtract or 0), float(variable.multiply)
        self.low, self.high, self.pad = float(variable.low), float(variable.high), float(variable.pad)

    def forward(self, values: dict[str, Tensor], mask: Tensor) -> Tensor:
        """Return (B, P) for values by name and where there is a particle, (B, P)."""
        value = values[self.name].to(torch.float32)
        if self.scaled:
            value = ((value - self.subtract) * self.multiply).clamp(self.low, self.high)
        value = torch.where(torch.isnan(value), 0.0, value)
        return torch.where(mask, value, self.pad)


class Channels(nn.Module):
    """One input of a network."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__()
        self.variables = nn.ModuleList(Standardise(variable) for variable in variables)

    def forward(self, values: dict[str, Tensor], mask: Tensor) -> Tensor:
        """Return (B, channels, P)."""
        channels: list[Tensor] = []
        for variable in self.variables:
            channels.append(variable(values, mask))
        return torch.stack(channels, dim=1)


class Prepare(nn.Module):
    """The inputs called `inputs` from raw columns: particles (B, P, C), mask (B, P) bool, and jet (B, J)."""

    def __init__(self, card: Card, inputs: Sequence[str]) -> None:
        super().__init__()
        if card.order_by is not None:
            raise ConfigError(f"`order_by: {card.order_by}` cannot be part of a network", "use the layout 'prepared'")
        self.of_particles, self.of_jets = list(card.particle_branches), list(card.jet_branches)
        needed = {variable.name for name in inputs for variable in card.inputs[name].vars}
        for name in reversed(list(card.definitions)):
            needed |= card.definitions[name].names if name in needed else set()
        definitions = {name: of for name, of in card.definitions.items() if name in needed}
        self.definitions = nn.ModuleList(Definition(name, of) for name, of in definitions.items())
        values = {name: torch.ones(1, 1) for name in card.input_branches}
        for definition, of in zip(self.definitions, definitions.values(), strict=True):
            try:
                values[str(definition.name)] = definition(values)
            except RuntimeError as error:  # PyTorch's, such as for where() of numbers that are not true or false
                reason = str(error).splitlines()[0]
                raise ConfigError(f"'{of.source}' cannot be part of a network: {reason}", "see docs/jets.md") from None
        self.inputs = nn.ModuleList(
            Channels([card.standardised(variable) for variable in card.inputs[name].vars]) for name in inputs
        )

    def forward(self, particles: Tensor, mask: Tensor, jet: Tensor) -> list[Tensor]:
        """Return each input, (B, channels, P)."""
        values: dict[str, Tensor] = {}
        for index, name in enumerate(self.of_particles):
            values[name] = particles[:, :, index]
        for index, name in enumerate(self.of_jets):
            values[name] = jet[:, index].unsqueeze(1)
        for definition in self.definitions:
            values[definition.name] = definition(values)  # type: ignore[index]
        given: list[Tensor] = []
        for channels in self.inputs:
            given.append(channels(values, mask))
        return given


class Raw(nn.Module):
    """A network of three inputs and one output, with its preparation before it."""

    def __init__(self, prepare: Prepare, network: nn.Module) -> None:
        super().__init__()
        self.prepare, self.network = prepare, network

    def forward(self, particles: Tensor, mask: Tensor, jet: Tensor) -> Tensor:
        """Return what the network gives."""
        given = self.prepare(particles, mask, jet)
        return self.network(given[0], given[1], given[2])


class RawOfTwo(Raw):
    """A network of three inputs and two outputs, with its preparation before it."""

    def forward(self, particles: Tensor, mask: Tensor, jet: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return what the network gives."""
        given = self.prepare(particles, mask, jet)
        first, second = self.network(given[0], given[1], given[2])
        return first, second
