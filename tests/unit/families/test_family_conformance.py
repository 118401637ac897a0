"""What every family promises; a new one is in here by being registered."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import family_samples
from family_samples import SMALL
from modelferry.demo import demo_for
from modelferry.families import Family, family_names, load_family
from modelferry.testing import FamilyConformance


class TestFamilies(FamilyConformance):
    """The suite that users run, on a small network of each family."""

    @pytest.fixture(scope="module", params=family_names())
    @classmethod
    def made(cls, request: pytest.FixtureRequest) -> Family:
        return SMALL[request.param]

    @pytest.fixture(scope="module")
    @classmethod
    def known(cls, made: Family) -> dict[str, Any]:
        return dict(made.hyperparameters)


@pytest.fixture(params=family_names())
def family(request: pytest.FixtureRequest) -> Family:
    return SMALL[request.param]


def test_module_is_named_like_its_family(family: Family) -> None:
    assert family.name in family_names()


AXES = {"fold": 0, "channel": "Run1E2Mu", "signal": "TTToHcToWAToMuMu-MHc160_MA85"}


@pytest.mark.parametrize("name", [name for name in family_names() if demo_for(name)])
def test_demo_makes_events_that_the_family_reads(name: str, tmp_path: Path) -> None:
    family, demo = SMALL[name], demo_for(name)
    assert demo is not None
    for group in demo.groups(AXES):
        demo.make_events(group, tmp_path / group)
        assert all((tmp_path / group / member).is_file() for member in demo.members)
    found = demo.test_events(AXES, tmp_path)
    contract = family.contract(family.hyperparameters, family.reference_layout)
    contract.check(family.collate(found.events[:4], family.reference_layout))
    assert len(found) >= 100
    assert len(set(found.labels.tolist())) >= 2


def test_reading_families_formats_and_config_imports_no_torch() -> None:
    """Snakemake reads them at every start."""
    code = (
        "import sys, json\n"
        "from modelferry.families import family_names, load_family\n"
        "from modelferry.formats import format_names, load_format\n"
        "from modelferry.demo import demo_for\n"
        "from modelferry import cli, plan\nfrom modelferry.checkpoints import shapes\n"
        "from modelferry.plan import start\n"
        "from family_samples import SMALL\n"
        "for name in family_names():\n"
        "    family = SMALL[name]\n"
        "    [family.contract(family.hyperparameters, layout) for layout in family.layouts]\n"
        "    demo_for(name)\n"
        "[load_format(name) for name in format_names()]\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))\n"
    )
    folder = Path(family_samples.__file__).parent
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "lightning",
        "timm",
        "executorch",
        "torch_geometric",
        "sklearn",
        "scipy",
        "matplotlib",
        "pandas",
        "onnx",
        "onnxruntime",
    }
    assert not heavy & set(json.loads(found.stdout))


OWN = """
from modelferry.families.charged_higgs_particlenet.family import ChargedHiggsParticleNet

class MyFamily(ChargedHiggsParticleNet):
    name = "mine"

class NoFamily:
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "my_taggers_for_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    load_family.cache_clear()
    yield "my_taggers_for_test"
    sys.modules.pop("my_taggers_for_test", None)
    load_family.cache_clear()


def test_family_of_ones_own_is_loaded_from_the_folder_one_is_in(own: str) -> None:
    assert load_family(f"{own}:MyFamily").name == "mine"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (":MyFamly", "did you mean 'MyFamily'"),
        (":NoFamily", "is not a modelferry.families.Family"),
        ("x:A", "No module named"),
    ],
)
def test_family_of_ones_own_that_cannot_be_loaded_is_named(own: str, name: str, wanted: str) -> None:
    from modelferry.core.errors import ConfigError

    with pytest.raises(ConfigError, match=wanted):
        load_family(own + name)
