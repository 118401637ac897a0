"""What all sections of the config share: unknown keys are mistakes, and so are names that are no part of a path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from modelferry.core.errors import ConfigError, did_you_mean

UNKNOWN_KEY, ELSEWHERE = "unknown_key", "elsewhere"
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def one_value(value: Any) -> str | int | float:
    """Return a word or a number; raise `ValueError` for what YAML has made of another."""
    if isinstance(value, bool):
        raise ValueError(f"YAML reads yes, no, on, off, true and false as {value}; put the word in quotes")
    if value is None:
        raise ValueError("a value is empty; give it, or remove its line")
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping | list):
        raise ValueError(f"{value!r} is not one value; give a word or a number")
    raise ValueError(f"YAML reads {value} as a {type(value).__name__}; put it in quotes")


def some_values(values: Any) -> list[str | int | float]:
    """Return one value, or a list of them, as a list; raise `ValueError` if there are none."""
    found = [one_value(value) for value in (values if isinstance(values, list) else [values])]
    if not found:
        raise ValueError("a list of values is empty; give at least one")
    return found


def partial_axes(where: Any) -> dict[str, list[str | int | float]]:
    """Return the values by axis that select models; raise `ValueError` for what selects all, or is no mapping."""
    if not isinstance(where, Mapping) or not where:
        raise ValueError("give the values of at least one axis, e.g. {fold: 3}")
    return {str(axis): some_values(values) for axis, values in where.items()}


AxisValue = Annotated[str | int | float, BeforeValidator(one_value)]
Axes = dict[str, str | int | float]
Where = Annotated[
    dict[str, list[AxisValue]],
    BeforeValidator(partial_axes, json_schema_input_type=dict[str, AxisValue | list[AxisValue]]),
]
"""A part of the axes, with one value of each or several: selects the models that have them."""


class Elsewhere(ValueError):
    """A mistake in a part of a section that another part brings to light: `at` is its address in the section."""

    def __init__(self, message: str, *at: str | int) -> None:
        super().__init__(message)
        self.at = at

    def below(self, *address: str | int) -> PydanticCustomError:
        """Return the error as pydantic passes it on, for the address of the section."""
        return PydanticCustomError(ELSEWHERE, "{text}", {"text": str(self), "at": (*address, *self.at)})


class Strict(BaseModel):
    """A section of the config: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    facts = {"key": str(key), "near": did_you_mean(str(key), cls.model_fields)}
                    raise PydanticCustomError(UNKNOWN_KEY, "unknown key '{key}'; {near}", facts)
        return data


def safe(value: str, what: str) -> str:
    """Return a value that can be part of a path; raise `ValueError` that says `what` it is."""
    if not SAFE.fullmatch(value):
        raise ValueError(f"{what} '{value}' cannot be part of a path; use letters, digits and . _ + -")
    return value


@contextmanager
def as_value_error() -> Iterator[None]:
    """Let pydantic say where in the config something else found a mistake."""
    try:
        yield
    except ConfigError as error:
        raise ValueError(str(error)) from error
