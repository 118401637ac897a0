"""The documentation's own example, run as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from forked import forked
from modelferry.cli.main import main
from modelferry.core.errors import EventFileError
from modelferry.families import Family, load_family
from modelferry.records.validation import Validation
from snippets import code

TAGGER, JETS, SUITE = code("docs/families.md", "python")
CONFIG, EVENTS = code("docs/families.md", "yaml")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "my_taggers.py").write_text(TAGGER)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "trained").mkdir()
    for fold in range(5):
        torch.manual_seed(fold)
        network = nn.Sequential(
            nn.Linear(8, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2)
        )
        torch.save(network.state_dict(), tmp_path / f"trained/fold{fold}.pt")
    return tmp_path


def modelferry(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked(lambda: main(arguments), folder)


def test_the_documented_family_exports_and_validates_with_no_change_to_modelferry(workspace: Path) -> None:
    exported = modelferry(workspace, "export", "--fold", "2")
    assert exported.returncode == 0, exported.stderr
    validated = modelferry(workspace, "validate", "--fold", "2")
    assert validated.returncode == 0, validated.stderr
    record = Validation.read(workspace / "results/my_analysis/fold-2/torchscript/validation.pytorch.json")
    assert record.status == "passed"
    assert record.events >= 1000
    assert all(control.detected for control in record.controls)


def test_a_checkpoint_of_another_network_is_refused_in_one_line(workspace: Path) -> None:
    torch.save(nn.Linear(8, 2).state_dict(), workspace / "trained/fold1.pt")
    exported = modelferry(workspace, "export", "--fold", "1")
    assert exported.returncode == 1
    assert re.fullmatch(r"error: my_analysis/fold-1: .*does not fit.*\n", exported.stderr)


@pytest.fixture
def jets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """The second example of the page, with a file of events."""
    (tmp_path / "jet_tagger.py").write_text(JETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(1)
    count = rng.integers(1, 9, 40)
    tracks = np.stack([0.6 + rng.exponential(3, count.sum()), *rng.normal(size=(2, count.sum()))], axis=1)
    np.savez("events.npz", tracks=tracks, count=count, label=np.arange(40) % 2)
    return load_family("jet_tagger:JetTagger")


def test_the_example_of_events_reads_them_and_is_a_family(jets: Family) -> None:
    events = jets.read_events([Path("events.npz")], {}, 30, least_pt=1.0)
    assert len(events) == 30
    assert all((event["tracks"][:, 0] >= 1).all() for event in events.events)
    assert set(events.labels) == {0, 1}
    np.savez("wrong.npz", tracks=np.zeros((2, 3)))
    with pytest.raises(EventFileError, match="has no array 'count'"):
        jets.read_events([Path("wrong.npz")], {}, 30)

    suite = "from modelferry.testing import FamilyConformance\n\n\nclass TestJets(FamilyConformance):\n"
    Path("test_jets.py").write_text(f'{suite}    family = "jet_tagger:JetTagger"\n')
    run_suite(Path("test_jets.py"))


def run_suite(path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path.name]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_documented_suite_passes(workspace: Path) -> None:
    (workspace / "test_my_taggers.py").write_text(SUITE)
    run_suite(workspace / "test_my_taggers.py")


def test_the_documented_options_of_events_are_those_of_the_reader(jets: Family) -> None:
    jets.check_event_options(yaml.safe_load(EVENTS)["events"]["options"])


def test_the_example_of_events_exports_by_hand_and_compares_on_its_events(jets: Family) -> None:
    torch.manual_seed(1)
    torch.save(jets.reference({}).state_dict(), "jets.pt")
    done = modelferry(Path.cwd(), "export", "jets.pt", "--family", "jet_tagger:JetTagger", "--format", "onnx")
    assert done.returncode == 0, done.stderr
    arguments = ("--family", "jet_tagger:JetTagger", "--inputs", "events.npz")
    compared = modelferry(Path.cwd(), "compare", "jets.pt", "jets.onnx", *arguments)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    written = modelferry(Path.cwd(), "outputs", "jets.pt", *arguments, "--out", "out.npz")
    assert written.returncode == 0, written.stderr
    with np.load("out.npz") as outputs:
        assert outputs["logits"].shape == (40, 2)
