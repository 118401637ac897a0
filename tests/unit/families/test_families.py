"""What the class `Family` does for families of one's own."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from family_samples import SMALL
from modelferry.config.campaign import Campaign
from modelferry.core.errors import ConfigError
from modelferry.core.events import EventSet
from modelferry.demo import demo_for
from modelferry.families import Family, family_names, load_family
from two_ragged_family import TwoRagged


class WithOptions(TwoRagged):
    """Reads events with two options."""

    def read_events(  # type: ignore[override]
        self,
        paths: Sequence[Path],
        hyperparameters: Mapping[str, Any],
        limit: int,
        tree: str = "events",
        *,
        loose: bool = False,
    ) -> EventSet:
        return EventSet([], np.empty(0, np.int64), np.empty(0), f"{paths[0]}:{tree}, {loose}")


FAMILY = f"{__name__}:WithOptions"


def campaign(events: Any, family: str = FAMILY) -> Campaign:
    given = {"family": family, "axes": {"fold": [0]}, "checkpoint": "a.pt", "formats": ["onnx"], "events": events}
    return Campaign.model_validate(given)


def test_options_that_the_own_reader_names_reach_it() -> None:
    events = campaign({"files": "a.root", "options": {"tree": "Events", "loose": True}}).events
    assert events is not None
    read = load_family(FAMILY).read_events([Path("a.root")], {}, 1, **events.options)
    assert read.source == "a.root:Events, True"


def test_other_options_are_errors_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"without an option 'trees'; did you mean 'tree'\?"):
        campaign({"files": "a.root", "options": {"trees": "Events"}})
    with pytest.raises(ValueError, match="without an option 'limit'; known: loose, tree"):
        campaign({"files": "a.root", "options": {"limit": 3}})


@pytest.mark.parametrize("family", ["lightning", "image_classifier", "particlenet"])
def test_readers_without_options_accept_none(family: str) -> None:
    with pytest.raises(ValueError, match="without an option 'tree'; remove it"):
        campaign({"files": "a.root", "options": {"tree": "Events"}}, family)


def test_a_family_without_embeddings_says_so() -> None:
    with pytest.raises(ConfigError, match="family two_ragged takes no jets; remove `embed` from the campaign"):
        TwoRagged().card_of({})


@pytest.mark.parametrize("family", SMALL.values(), ids=SMALL)
def test_configuring_a_family_changes_nothing_of_it(family: Family) -> None:
    before = dict(vars(family))
    configured = family.configured(family.hyperparameters)
    assert type(configured) is type(family)
    assert vars(family) == before == vars(configured)


@pytest.mark.parametrize("name", [name for name in family_names() if demo_for(name)])
def test_a_demo_names_the_module_that_trains_it(name: str) -> None:
    demo = demo_for(name)
    assert demo is not None
    assert set(demo.unseen) <= set(demo.members)
    sources = [Path(str(find_spec(module).origin)).read_text() for module in demo.modules]  # type: ignore[union-attr]
    assert type(demo).__module__ == demo.modules[0]
    assert ["\ndef train(" in source for source in sources] == [False, True]
