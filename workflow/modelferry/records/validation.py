"""What a validation found: numbers, decisions, probes, properties and controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from modelferry.core.model import Environment, Exactness, Part, Status
from modelferry.core.tolerances import Tolerance
from modelferry.records import Record

BLIND = "the validator is broken"
"""How the reason of a validation begins if a control went unseen."""


DAMAGE = ("a score shifts", "an AUC changes")
"""How the reason of an approximation begins that does more damage than the config allows."""


class ShapePoint(Part):
    """One group of probes: those of one size, by the dimensions that have it, or of one kind.

    What is within the contract must be answered correctly, and all else be rejected.
    """

    label: str
    sizes: Mapping[str, int]
    events: int
    expected: Literal["correct", "rejected"]
    outcome: Literal["correct", "rejected", "silently wrong"]
    max_abs_diff: float

    @property
    def status(self) -> Status:
        """Whether what was expected came out."""
        return "passed" if self.outcome == self.expected else "failed"


class OutsideCase(Part):
    """One kind of inputs outside the contract, in so many cases, and what became of them.

    `not finite` and `correct` are for numbers that are not finite: they show in the outputs of their event, or do not
    matter to the network as trained.
    """

    kind: str
    cases: int
    outcome: Literal["rejected", "not finite", "correct", "silently wrong"]
    detail: str


class PropertyResult(Part):
    """A property of the network as trained and of the artifact: the largest changes of an output where none should."""

    name: str
    outcome: Literal["holds", "violated by the network as trained", "violated by the artifact"]
    trained_change: float
    artifact_change: float

    @property
    def lost(self) -> bool:
        """Whether the artifact lacks what the network as trained has."""
        return self.outcome == "violated by the artifact"


class ClassPair(Part):
    """How well two classes are told apart: the areas under their ROC curve."""

    classes: tuple[str, str]
    trained_auc: float
    artifact_auc: float


class IllConditioned(Part):
    """An event whose float32 reference departs from the float64 one, or would if inputs differed in the last place."""

    event: int
    source: str
    reference_float32: tuple[float, ...]
    reference_float64: tuple[float, ...]
    artifact: tuple[float, ...]


class Control(Part):
    """A deliberately broken artifact, and whether the validator saw it."""

    name: str
    detected: bool
    max_abs_diff: float


class Residuals(Part):
    """Differences from the float32 reference event by event, packed: `modelferry.records.residuals` reads them."""

    events: int
    values: int
    differences: str


class Decisions(Part):
    """What an artifact does to decisions, on all events and on those whose class is known; `delta_auc` is the worst."""

    argmax_flips: int
    max_score_shift: float
    labelled_events: int
    labelled_argmax_flips: int
    labelled_max_score_shift: float
    delta_auc: float | None
    class_pairs: tuple[ClassPair, ...]


class RuntimeVerdict(Decisions):
    """One runtime's verdict on an artifact, with the numbers that it rests on.

    `error_rms` and `error_max` are the root-mean-square and the largest error against float64, in units of the float32
    reference's own root-mean-square error; `allowed_share` is the largest share that was used of what is allowed.
    None where nothing was compared.
    """

    runtime: str
    status: Status
    reason: str
    tolerance: Tolerance
    events: int
    max_abs_diff: float
    max_rel_diff: float
    max_ulps: int
    error_float64: float
    reference_error_float64: float
    error_ratio_float64: float
    error_rms: float | None = None
    error_max: float | None = None
    allowed_share: float | None = None
    smallest_rtol: float
    weights_compared: int
    ill_conditioned: int
    properties: tuple[PropertyResult, ...]
    real_events: int = 0
    warnings: tuple[str, ...] = ()


class Validation(RuntimeVerdict, Record):
    """`validation.<runtime>.json`: one artifact compared with the network as trained, in one runtime.

    `certificate` is the path of the certificate that tells the rest, such as sizes and most controls; empty if all of
    it was found out for this artifact. `deployable_max_abs_diff` is None where that is so.
    """

    model: str
    format: str
    layout: str
    artifact_sha256: str
    exactness: Exactness
    smallest_atol: float
    deployable_max_abs_diff: float | None
    certificate: str = ""
    sketch: Residuals
    shapes: tuple[ShapePoint, ...]
    outside: tuple[OutsideCase, ...]
    ill_conditioned_events: tuple[IllConditioned, ...]
    controls: tuple[Control, ...]
    seconds: float
    environment: Environment
