"""Which objects and events are taken from a NanoAOD file.

By default far looser than any analysis: what is validated is a function of real objects, on as many as there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelferry.core.errors import ConfigError, did_you_mean

MEDIUM: Mapping[str, float] = {"2016preVFP": 0.2598, "2016postVFP": 0.2489, "2017": 0.3040, "2018": 0.2783}
"""Medium working point of DeepJet by era, for the ultra-legacy reconstruction: CMS BTV recommendations."""
DEEPJET = "btagDeepFlavB"


class Cuts(BaseModel):
    """Cuts on the objects of one kind.

    `at_least` gives the smallest allowed value of further branches: ``{mediumId: 1}`` for medium muons,
    ``{cutBased: 2}`` for loose electrons.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pt: float = Field(ge=0)
    eta: float = Field(gt=0)
    at_least: dict[str, float] = {}


class Selection(BaseModel):
    """What is selected; momenta in GeV.

    Attributes
    ----------
    era
        Data-taking era of all files; empty: it is part of each path.
    muons, electrons, jets
        Cuts on objects.
    distance
        Jets nearer than this in ΔR to a selected lepton are left out.
    btag, working_point
        Branch of the b-tag score, and from where on a jet counts as a b jet; default: medium, by era.
    met
        Prefix of the branches of the missing transverse momentum.
    leptons, opposite_sign_muons, least_jets
        Events must have so many leptons, or more, such a pair of muons if asked for, and so many jets, or more.
    scanned
        At most so many events of each file are read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    era: str = ""
    muons: Cuts = Cuts(pt=10, eta=2.4)
    electrons: Cuts = Cuts(pt=10, eta=2.5)
    jets: Cuts = Cuts(pt=20, eta=2.4)
    distance: float = Field(default=0.4, ge=0)
    btag: str = DEEPJET
    working_point: float | None = None
    met: str = "MET"
    leptons: int = Field(default=2, ge=0)
    opposite_sign_muons: bool = False
    least_jets: int = Field(default=0, ge=0)
    scanned: int = Field(default=1_000_000, ge=1)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Selection:
        """Return the selection with some settings changed; raise `ConfigError` for one that does not exist or fit."""
        for name in given:
            if name not in cls.model_fields:
                raise ConfigError(f"events have no option '{name}'", did_you_mean(name, cls.model_fields))
        defaults = cls().model_dump()
        for name, value in given.items():
            defaults[name] = (
                {**defaults[name], **value} if isinstance(value, dict) and isinstance(defaults[name], dict) else value
            )
        try:
            return cls.model_validate(defaults)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise ConfigError(f"option '{where}' of events: {error.errors()[0]['msg']}") from None

    def cut_on_btag(self, era: str) -> float:
        """Return the working point; raise `ConfigError` if none is given and none is known."""
        if self.working_point is not None:
            return self.working_point
        if self.btag != DEEPJET or era not in MEDIUM:
            known = f"only {DEEPJET} has one for {', '.join(MEDIUM)}"
            raise ConfigError(f"no working point of {self.btag} is known for '{era}'", f"give `working_point`: {known}")
        return MEDIUM[era]
