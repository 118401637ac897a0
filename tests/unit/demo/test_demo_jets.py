"""The demo of jet taggers: what is learned from is not what is embedded, and the same jets give the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelferry.checkpoints.reader import fit, load_state_dict
from modelferry.core.errors import ConfigError
from modelferry.demo import demo_for, jet_toys, jet_training, jets
from modelferry.families import load_family
from modelferry.families.jets.jetclass import count_jets
from modelferry.plan.code_digest import code_of
from modelferry.records.demo import DemoTraining

NAMES = ("particle_transformer", "particlenet")
SMALL: dict[str, dict[str, Any]] = {
    "particle_transformer": {
        "pair_activation": True, "embed": [16, 16], "pair_embed": [4], "heads": 2, "layers": 1, "class_layers": 1,
        "hidden": 16,
    },
    "particlenet": {"widths": [[16], [16]], "dense": [16], "neighbours": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fewer jets than the demo has."""
    folder = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jets, "JETS", {jets.TRAINING: 900, **dict.fromkeys(jets.TESTS, 150)})
        jets.JetDemo(load_family("particlenet")).make_events(jets.GROUP, folder / jets.GROUP)
    return folder


def trained(name: str, events: Path, out: Path, model: str = "jets/fold-0", fold: int = 0) -> DemoTraining:
    hyperparameters = load_family(name).resolve(SMALL[name], {})
    demo = demo_for(name)
    assert demo is not None
    return demo.train(model, {"fold": fold}, hyperparameters, events, out)


@pytest.mark.parametrize("name", NAMES)
def test_networks_learn_and_their_checkpoints_fit(name: str, events: Path, tmp_path: Path) -> None:
    record = trained(name, events, tmp_path / "model.pt")
    assert record.events == {"training": 600, "test": 300}
    assert list(record.test_auc) == list(jet_toys.CLASSES[1:])
    assert np.mean(list(record.test_auc.values())) > 0.7
    family = load_family(name)
    network = family.reference(family.resolve(SMALL[name], {}))
    assert all(key.startswith("mod.") for key in torch.load(tmp_path / "model.pt", weights_only=True))
    network.load_state_dict(fit(load_state_dict(tmp_path / "model.pt"), network, "model.pt"))


def test_two_trainings_give_the_same_bytes_and_another_fold_others(events: Path, tmp_path: Path) -> None:
    for out, fold in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)  # the state of the global generator must not matter
        trained("particle_transformer", events, tmp_path / out, fold=fold)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("name", NAMES)
def test_code_of_the_network_is_part_of_what_decides_a_training(name: str) -> None:
    needed = {f"families/{name}/reference.py", "demo/jet_training.py", "demo/jet_toys.py"}
    assert needed <= code_of(f"modelferry.demo.{name}").keys()


def test_what_is_embedded_is_in_no_training_file() -> None:
    for name in NAMES:
        demo = demo_for(name)
        assert demo is not None
        assert jets.TRAINING in demo.members
        assert set(demo.unseen) == set(demo.members) - {jets.TRAINING}


def test_folds_learn_from_different_jets(events: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[jet_training.Jets] = []
    monkeypatch.setattr(jet_training, "train", lambda family, model, learned, *rest: seen.append(learned))
    for fold in range(jets.FOLDS):
        trained("particlenet", events, tmp_path / "out", fold=fold)
    everything = jet_training.Jets.read(
        [events / jets.GROUP / jets.TRAINING], load_family("particlenet").card_of({"card": "", "features": 17})
    )
    rows = [{row.tobytes() for row in one.inputs["pf_features"]} for one in [*seen, everything]]
    *folds, whole = rows
    assert set.union(*folds) == whole
    assert not set.intersection(*folds)
    assert {len(fold) for fold in folds} == {600}


def test_test_events_have_their_classes(events: Path) -> None:
    demo = demo_for("particle_transformer")
    assert demo is not None
    found = demo.test_events({"fold": 0}, events)
    assert len(found) == 300
    assert np.bincount(found.labels).tolist() == [30] * 10
    assert count_jets(events / jets.GROUP / jets.TESTS[0]) == 150


def test_a_fold_that_does_not_exist_is_one_line() -> None:
    demo = demo_for("particlenet")
    assert demo is not None
    with pytest.raises(ConfigError, match=r"no fold '7'; give the campaign the axis 'fold' with numbers from 0 to 2"):
        demo.groups({"fold": 7})
