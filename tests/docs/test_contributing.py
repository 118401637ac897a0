"""CONTRIBUTING.md, taken literally: its own code blocks, in the files that it names, run, and become part of a copy."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

import modelferry
from modelferry.core.errors import ArtifactError, ConfigError
from modelferry.formats import load_format
from modelferry.records.export import Manifest, Template
from modelferry.records.summary import Summary
from modelferry.records.validation import Validation
from modelferry.runtimes import load_runtime, paths_of, runtimes_of
from snippets import code

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS: dict[str, str] = dict(re.findall(r"`(?:pytest )?([\w.]+\.\w+)`[^`]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))
ALL = code("CONTRIBUTING.md", "python", "yaml")
MODEL = "results/mine/fold-0"
QUICK = {"benchmark": {"seconds": 0.01, "batches": [1]}, "validation": {"events": 60}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, and a checkpoint."""
    folder = tmp_path_factory.mktemp("contributing")
    for name, text in BLOCKS.items():
        (folder / name).write_text(text)
    config = yaml.safe_load(BLOCKS["config.yaml"])
    config["campaigns"]["mine"].update(QUICK)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "trained").mkdir()
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
    )
    torch.save(network.state_dict(), folder / "trained/fold0.pt")
    return folder


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in that folder, and forget afterwards what was imported from it."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for module in [Path(name).stem for name in BLOCKS if name.startswith("my_")]:
        sys.modules.pop(module, None)
    for cached in (load_format, load_runtime, paths_of):
        cached.cache_clear()


def run(folder: Path, *command: str, package: Path = ROOT / "workflow") -> str:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MODELFERRY", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The folder after a run of the whole workflow."""
    snakefile = str(ROOT / "workflow/Snakefile")
    run(folder, "-m", "snakemake", "--snakefile", snakefile, "--cores", "1", "--rerun-triggers", "mtime", "params")
    return folder


def test_page_has_a_class_and_a_suite_for_each_thing_to_add() -> None:
    assert set(BLOCKS) == {
        *(f"{stem}{kind}.py" for kind in ("formats", "runtimes", "families") for stem in ("my_", "test_my_")),
        "config.yaml",
    }
    assert list(BLOCKS.values()) == ALL


def test_page_names_files_that_are_there() -> None:
    named = set(re.findall(r"`((?:workflow|docs|tests|core|plan)/[\w/.]+\.\w+)`", PAGE))
    own = {"split.py", "threaded.py", "family.py", "tagger.py"}
    there = [name for name in named if Path(name).name not in own]
    assert len(there) >= 8
    for name in there:
        known = (ROOT / name, ROOT / "workflow/modelferry" / name)
        assert any(path.is_file() for path in known), f"CONTRIBUTING.md names {name}"


@pytest.mark.parametrize("name", ["formats", "runtimes", "families"])
def test_conformance_suites_of_the_page_pass(folder: Path, name: str) -> None:
    output = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_my_{name}.py")
    assert re.search(r"\b\d\d? passed", output)
    assert "skipped" not in output


def test_the_whole_workflow_runs_with_all_three(finished: Path) -> None:
    summary = Summary.read(finished / "reports/summary.json")
    assert summary.verdict == "passed", summary.models[0].reason
    by_export = {artifact.export: artifact for artifact in summary.models[0].artifacts}
    assert list(by_export) == ["split", "torchscript_threaded"]
    assert by_export["split"].format == "my_formats:Split"
    assert [v.runtime for v in by_export["torchscript_threaded"].validation] == ["pytorch", "threaded"]
    assert {row.runtime for row in by_export["torchscript_threaded"].benchmark} == {"pytorch", "threaded"}
    report = (finished / "reports/summary.md").read_text()
    assert "split" in report
    for export, runtime in (("split", "pytorch"), ("torchscript_threaded", "threaded")):
        record = Validation.read(finished / f"{MODEL}/{export}/validation.{runtime}.json")
        assert record.status == "passed"
        assert record.controls
        assert all(control.detected for control in record.controls)


def test_records_name_each_file_with_its_digest(finished: Path) -> None:
    manifest = Manifest.read(finished / f"{MODEL}/split/manifest.json")
    artifact = manifest.artifact
    assert artifact.paths == [f"{MODEL}/split/model.graph.pt", f"{MODEL}/split/model.safetensors"]
    assert artifact.path == artifact.paths[0]
    assert artifact.bytes == sum((finished / path).stat().st_size for path in artifact.paths)
    assert len({artifact.sha256, *(file.sha256 for file in artifact.files)}) == 3
    (record,) = (finished / "results/templates").glob("*/split-*/template.json")
    assert [Path(path).name for path in Template.read(record).file.paths] == [
        "template.graph.pt",
        "template.safetensors",
    ]


@pytest.mark.parametrize("change", ["altered", "missing"])
def test_second_file_that_is_altered_or_missing_is_noticed(finished: Path, inside: Path, change: str) -> None:
    second = finished / f"{MODEL}/split/model.safetensors"
    content = second.read_bytes()
    second.unlink() if change == "missing" else second.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert not Manifest.read(f"{MODEL}/split/manifest.json").artifact.intact
        with pytest.raises(AssertionError, match="not the file"):
            run(finished, "-m", "modelferry", "validate", "--model", "mine/fold-0", "--format", "split")
        if change == "missing":
            snakefile = str(ROOT / "workflow/Snakefile")
            planned = run(finished, "-m", "snakemake", "-n", "--snakefile", snakefile)
            assert "rule export:" in planned
    finally:
        second.write_bytes(content)


def test_python_api_takes_them_by_path_and_as_objects(inside: Path) -> None:
    network, x = torch.nn.Linear(8, 2), torch.randn(4, 8)
    own = importlib.import_module("my_formats")
    for number, given in enumerate(("my_formats:Split", own.Split())):
        artifact = modelferry.export(network, f"api/{number}.graph.pt", inputs=x, format=given, dynamic={0: "events"})
        assert artifact.comparison
        assert [path.name for path in artifact.files] == [f"{number}.graph.pt", f"{number}.safetensors"]
        again = modelferry.load(artifact.path, format=given)
        whole = artifact.sha256
        assert again.sha256 == whole
        assert modelferry.validate(network, again, x)
        artifact.files[1].write_bytes(b"something else")
        assert again.sha256 != whole
        with pytest.raises(ArtifactError, match="do not load"):
            modelferry.load(artifact.path, format=given)
    with pytest.raises(modelferry.ModelferryError, match=r"does not end in \.graph\.pt"):
        modelferry.export(network, "api/odd.name", inputs=x, format="my_formats:Split")


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("class Mine: name = 'mine'", r"is not a modelferry\.formats\.Format"),
        ("class Mine(Format): name, extension = 'mine', 'x'", "has no runtimes"),
        ("class Mine(Format): name, extension, runtimes = 'mine', 'x', ('pytorch',)", "cannot be instantiated: .*load"),
        ("class Mine(Split): name = 'onnx'", "name 'onnx' of one of modelferry's own"),
        ("class Mine(Split): name = '../x'", r"has the name '\.\./x'"),
        ("class Mine(Split): name, runtimes = 'mine', ('my_runtimes:Nothing',)", "has no 'Nothing'"),
        ("class Mine(Split): name, runtimes = 'mine', ('pytorch', 'pytorch')", "name each once"),
    ],
)
def test_own_format_that_cannot_be_used_is_refused_in_one_line(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, wanted: str
) -> None:
    name = f"my_mistake_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(f"from modelferry import Format\nfrom my_formats import Split\n\n{code}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=wanted) as caught:
        runtimes_of(f"{name}:Mine")
    assert "\n" not in str(caught.value)


def test_two_formats_of_one_name_are_refused_by_the_config(inside: Path) -> None:
    from modelferry.config.file import parse_config

    (inside / "my_other.py").write_text("from my_formats import Split\n\n\nclass Other(Split):\n    pass\n")
    campaign = yaml.safe_load(BLOCKS["config.yaml"])["campaigns"]["mine"]
    formats = ["my_formats:Split", {"format": "my_other:Other", "name": "other"}]
    with pytest.raises(ConfigError, match="'my_formats:Split' and 'my_other:Other' have the same name 'split'"):
        parse_config({"campaigns": {"mine": {**campaign, "formats": formats}}}, "config.yaml")


def test_tolerances_of_own_formats_are_theirs(inside: Path) -> None:
    from modelferry.config.sections import Validation as Settings

    settings = Settings.model_validate({"tolerances": {"my_formats:Split": {"rtol": 1e-3}}})
    assert settings.tolerance("my_formats:Split", "float32").rtol == 1e-3
    assert settings.tolerance("onnx", "float32").rtol == 1e-5


def test_they_become_part_of_a_copy_as_the_page_says(folder: Path, tmp_path: Path) -> None:
    package = tmp_path / "workflow"
    shutil.copytree(ROOT / "workflow", package, ignore=shutil.ignore_patterns("__pycache__", "cpp", "*.egg-info"))
    room = package / "modelferry"
    split = BLOCKS["my_formats.py"].replace('runtimes = ("pytorch",)', 'runtimes = ("pytorch", "threaded")')
    (room / "formats/split.py").write_text(split + "\n\nFORMAT = Split()\n")
    threaded = BLOCKS["my_runtimes.py"].partition("\n\n\nclass ThreadedTorchScript")[0]
    (room / "runtimes/threaded.py").write_text(threaded + "\n\n\nRUNTIME = Threaded()\n")
    (room / "families/tagger").mkdir()
    (room / "families/tagger/__init__.py").write_text('"""A tagger of eight event variables."""\n')
    (room / "families/tagger/family.py").write_text(BLOCKS["my_families.py"] + "\n\nFAMILY = Tagger()\n")
    run(tmp_path, "-m", "modelferry", "schemas", str(package / "schemas"), package=package)
    assert '"split"' in (package / "schemas/config.schema.json").read_text()
    work = tmp_path / "work"
    shutil.copytree(folder / "trained", work / "trained")
    campaign = {**yaml.safe_load(BLOCKS["config.yaml"])["campaigns"]["mine"], **QUICK}
    config = {"campaigns": {"mine": {**campaign, "family": "tagger", "formats": ["split"]}}}
    (work / "config.yaml").write_text(yaml.safe_dump(config))
    for command in ("export", "validate"):
        run(work, "-m", "modelferry", command, "--model", "mine/fold-0", package=package)
    for runtime in ("pytorch", "threaded"):
        assert Validation.read(work / f"{MODEL}/split/validation.{runtime}.json").status == "passed"
