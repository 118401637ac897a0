"""What was proven once of a template in a runtime."""

from __future__ import annotations

from modelferry.core.model import Environment, Status
from modelferry.records import Record
from modelferry.records.validation import Validation


class Certificate(Record):
    """`certificate.<runtime>.json`: a template, filled with several sets of random weights, in one runtime.

    Attributes
    ----------
    validations
        One for each set of weights, with every check that there is.
    """

    template: str
    format: str
    layout: str
    runtime: str
    template_sha256: str
    status: Status
    reason: str
    validations: tuple[Validation, ...]
    seconds: float
    environment: Environment
