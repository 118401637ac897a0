from typing import Any

import pytest

from modelferry.cli.selection import select
from modelferry.config.file import parse_config
from modelferry.config.models import Model
from modelferry.core.errors import ConfigError

HIGGS = {
    "family": "charged_higgs_particlenet",
    "axes": {
        "channel": ["Run1E2Mu", "Run3Mu"],
        "signal": ["TTToHcToWAToMuMu-MHc160_MA85", "TTToHcToWAToMuMu-MHc100_MA95"],
        "fold": [3, 13],
    },
    "checkpoint": "demo",
    "formats": ["torchscript"],
}
OTHER = {**HIGGS, "axes": {"year": [2018]}, "checkpoint": "weights.pt"}


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return list(parse_config({"campaigns": {"higgs": HIGGS, "other": OTHER}}).models())


def ids(models: list[Model], chosen: tuple[str, ...] = (), everything: bool = False, **axes: Any) -> list[str]:
    return [planned.id for planned in select(models, chosen, axes, everything)]


def test_all_chooses_all_in_the_order_of_the_config(models: list[Model]) -> None:
    assert ids(models, everything=True) == [planned.id for planned in models]
    assert len(models) == 9


def test_axis_value_narrows_and_number_matches_the_whole_only(models: list[Model]) -> None:
    found = ids(models, everything=True, fold="3")
    assert len(found) == 4
    assert all(name.endswith("/fold-3") for name in found)


@pytest.mark.parametrize("signal", ["MHc100_MA95", "TTToHcToWAToMuMu-MHc100_MA95", "MA95"])
def test_short_signal_names_match(models: list[Model], signal: str) -> None:
    assert ids(models, channel="Run1E2Mu", signal=signal, fold="3") == [
        "higgs/Run1E2Mu/TTToHcToWAToMuMu-MHc100_MA95/fold-3"
    ]


@pytest.mark.parametrize("signal", ["HcToWAToMuMu-MHc100_MA95", "A95", "0_MA95", "MHc100", ""])
def test_piece_of_a_word_does_not_match(models: list[Model], signal: str) -> None:
    with pytest.raises(ConfigError, match=f"no model has signal '{signal}'"):
        ids(models, signal=signal)


def test_ids_choose_those_models_in_the_order_asked_for(models: list[Model]) -> None:
    wanted = (models[3].id, models[0].id)
    assert ids(models, wanted) == list(wanted)


def test_unknown_model_names_the_nearest(models: list[Model]) -> None:
    with pytest.raises(ConfigError, match=f"there is no model 'higgs/Run3Mu/.*'; did you mean '{models[4].id}'"):
        ids(models, (models[4].id.replace("MA85", "MA58"),))


def test_unknown_value_names_the_nearest(models: list[Model]) -> None:
    with pytest.raises(ConfigError, match="no model has channel 'Run3Muu'; did you mean 'Run3Mu'"):
        ids(models, everything=True, channel="Run3Muu")


def test_nothing_asked_for_is_an_error_that_says_how_to_ask(models: list[Model]) -> None:
    with pytest.raises(ConfigError, match="--all"):
        ids(models)
