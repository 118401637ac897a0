import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from modelferry.core.errors import ConfigError
from modelferry.demo import charged_higgs_particlenet as demo
from modelferry.demo import demo_for
from modelferry.families.charged_higgs_particlenet import analysis_tree
from modelferry.families.charged_higgs_particlenet.folds import fold_of

AXES = {"channel": "Run1E2Mu", "signal": "TTToHcToWAToMuMu-MHc160_MA85", "fold": 3}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "EVENTS_PER_FILE", 40)
        for group in demo.DEMO.groups(AXES):
            demo.DEMO.make_events(group, folder / group)
    return folder


def test_demo_is_found_by_the_name_of_its_family() -> None:
    assert demo_for("charged_higgs_particlenet") is demo.DEMO


@pytest.mark.parametrize("family", ["no_such_family", "my_analysis.taggers:MyFamily", "toys", ""])
def test_families_without_a_demo_have_none(family: str) -> None:
    assert demo_for(family) is None


def test_finding_a_demo_and_its_groups_imports_no_torch() -> None:
    code = (
        "import sys; from modelferry.demo import demo_for; d = demo_for('charged_higgs_particlenet');"
        f"d.groups({AXES!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_groups_are_the_samples_in_class_order() -> None:
    assert demo.DEMO.groups(AXES) == (
        "Run1E2Mu/TTToHcToWAToMuMu-MHc160_MA85",
        "Run1E2Mu/Skim_TriLep_TTLL_powheg",
        "Run1E2Mu/Skim_TriLep_WZTo3LNu_amcatnlo",
        "Run1E2Mu/Skim_TriLep_TTZToLLNuNu",
    )
    assert demo.CLASSES == ("signal", "nonprompt", "diboson", "ttZ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel": "Run2Mu"}, "channel 'Run2Mu' has no toy events; did you mean"),
        ({"signal": "MHc160_MA85"}, "signal 'MHc160_MA85' has no masses; name it"),
        ({"signal": "TTToHcToWAToMuMu-MHc80_MA90"}, "cannot decay; give masses"),
        ({"fold": 5}, "fold '5' does not exist; give a number from 0 to 4"),
        ({"fold": "best"}, "fold 'best' does not exist"),
    ],
)
def test_axes_that_make_no_sense_are_refused_with_a_remedy(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        demo.DEMO.groups(AXES | change)


@pytest.mark.parametrize("axis", ["channel", "signal", "fold"])
def test_missing_axis_is_named(axis: str) -> None:
    with pytest.raises(ConfigError, match=f"needs the axis '{axis}'; add '{axis}' to the campaign's axes"):
        demo.DEMO.groups({name: value for name, value in AXES.items() if name != axis})


def test_every_member_is_written_with_other_events(events: Path) -> None:
    folder = events / demo.DEMO.groups(AXES)[0]
    assert sorted(path.name for path in folder.iterdir()) == sorted(demo.DEMO.members)
    met = [analysis_tree.read(folder / member).met_pt for member in demo.DEMO.members]
    assert [len(values) for values in met] == [40] * 4
    assert len({values[0] for values in met}) == 4


def test_events_follow_from_group_and_member_alone(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "EVENTS_PER_FILE", 40)
    group = demo.DEMO.groups(AXES)[1]
    demo.DEMO.make_events(group, tmp_path)
    again, first = (analysis_tree.read(folder / "2017.root") for folder in (tmp_path, events / group))
    assert ak.to_list(again.muons) == ak.to_list(first.muons)
    assert np.array_equal(again.met_pt, first.met_pt)


def test_test_events_are_those_of_the_test_fold_with_all_four_labels(events: Path) -> None:
    collections = {
        label: [analysis_tree.read(events / group / member) for member in demo.DEMO.members]
        for label, group in enumerate(demo.DEMO.groups(AXES))
    }
    expected = [sum(int(np.sum(fold_of(c.met_pt, c.n_jets) == 3)) for c in files) for files in collections.values()]
    found = demo.DEMO.test_events(AXES, events)
    assert np.bincount(found.labels).tolist() == expected
    assert min(expected) > 0
    eras = np.argmax([event["graph_input"] for event in found.events], axis=1)
    assert set(eras.tolist()) == {0, 1, 2, 3}


def test_five_folds_share_out_all_events(events: Path) -> None:
    labelled, folds = demo.labelled_events(AXES | {"fold": "fold-3"}, events)
    assert len(labelled) == len(folds) == 4 * 4 * 40
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
