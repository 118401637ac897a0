"""The documentation's own example, run as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from modelferry.records.validation import Validation

DOCUMENT = Path(__file__).parents[2] / "docs/families.md"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    text = DOCUMENT.read_text()
    (tmp_path / "my_taggers.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    (tmp_path / "config.yaml").write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    (tmp_path / "trained").mkdir()
    for fold in range(5):
        torch.manual_seed(fold)
        network = nn.Sequential(
            nn.Linear(8, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2)
        )
        torch.save(network.state_dict(), tmp_path / f"trained/fold{fold}.pt")
    return tmp_path


def modelferry(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelferry", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


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
