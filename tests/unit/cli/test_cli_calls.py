"""What the command line accepts, and one line for each mistake."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from checkpoint_samples import save_checkpoint
from cli_samples import CAMPAIGN, FOUR, THREE, write_config
from modelferry.cli import models
from modelferry.cli.main import main
from modelferry.core import paths
from modelferry.families import family_module, family_names
from modelferry.formats import format_module, format_names
from report_samples import failed, six, summary


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["validate", "--all", "--rtoll", "1"], "did you mean '--rtol'?"),
        (["validate", "--all", "--event", "5"], "did you mean '--events'?"),
        (["export", "--al"], "did you mean '--all'?"),
        (["export", "--chanel", "Run3Mu"], "did you mean '--channel'?"),
        (["exprt", "--all"], "there is no command 'exprt'; did you mean 'export'?"),
        (["validate", "--all", "--events", "many"], "many"),
        (["export", "--model"], "--model"),
    ],
)
def test_wrong_call_is_named_with_the_nearest_right_one(
    arguments: list[str], wanted: str, folder: Path, fails: Callable[..., str]
) -> None:
    assert wanted in fails(*arguments, logged=False)


def test_version_and_help_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["--help"], ["export", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    assert "--channel" in capsys.readouterr().out


def test_call_without_a_command_prints_the_help(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    bare = capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--help"])
    assert bare == capsys.readouterr()


@pytest.mark.parametrize("command", [[], ["export"]])
def test_help_names_all_formats_and_families_with_a_line_each(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if len(line.split()) > 1)
    for name, module in {
        **{name: format_module(name) for name in format_names()},
        **{name: family_module(name) for name in family_names()},
    }.items():
        assert lines[name] == (sys.modules[module].__doc__ or "").splitlines()[0]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("modelferry validate --ev", ["--events"]),
        (f"modelferry why {THREE[:-1]}", [THREE, FOUR]),
    ],
)
def test_shells_complete_options_and_models(line: str, wanted: list[str], folder: Path) -> None:
    asked = {"": "1", "_STDOUT_FILENAME": str(folder / "answer"), "_IFS": "\n", "_SUPPRESS_SPACE": "1"}
    asked = {f"_ARGCOMPLETE{name}": value for name, value in asked.items()}
    environment = {**os.environ, **asked, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    subprocess.run([sys.executable, "-m", "modelferry"], env=environment, check=True)
    assert (folder / "answer").read_text().split("\n") == wanted


def test_folder_of_no_campaign_stays_clean(
    tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fails("models")
    assert [*tmp_path.iterdir()] == []


def test_verdict_and_doctor_are_json_for_machines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary(six()).write(paths.SUMMARY)
    code = main(["verdict", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert (code, facts["models"], facts["report"]) == (1, 6, "reports/summary.md")
    assert len(facts["altered"]) == 6, "the files that it is about are not there"
    main(["doctor", "--json"])
    assert {"what": "torch", "fine": True, "optional": False, "detail": torch.__version__} in json.loads(
        capsys.readouterr().out
    )


@pytest.mark.parametrize("axis", ["model", "format", "events", "log", "run", "all", "known"])
def test_axis_may_be_called_like_an_option(axis: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(folder, axes={axis: ["a", "b"]}, checkpoint="none.pt")
    assert main(["models"]) == 0
    assert "higgs/a" in capsys.readouterr().out


def test_axis_has_an_option_unless_a_command_has_one_of_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(folder, axes={"events": ["a", "b"], "year": [2018]}, checkpoint="none.pt")
    for command in ("export", "benchmark"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        printed = capsys.readouterr().out
        assert "--year VALUE" in printed
        assert "--events" not in printed


def test_models_are_listed_with_their_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(folder / "weights/Run3Mu-3.pt", 16)
    assert main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {THREE, FOUR}
    assert lines[FOUR].split()[1] == "missing"
    assert "weights/Run3Mu-4.pt" in lines[FOUR]
    assert lines[THREE].split()[1] != "passed"


def test_unknown_model_is_named_with_the_nearest(folder: Path, fails: Callable[..., str]) -> None:
    line = fails("export", "--model", THREE.replace("Run3Mu", "Run3M"))
    assert f"did you mean '{THREE}'?" in line


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--fold", "7"], "no model has fold '7'"),
        (["--all", "--format", "torchscrip"], "did you mean 'torchscript'?"),
        ([], "--all"),
    ],
)
def test_choice_that_matches_nothing_is_named(
    arguments: list[str], wanted: str, folder: Path, fails: Callable[..., str]
) -> None:
    save_checkpoint(folder / "weights/Run3Mu-3.pt", 16)
    write_config(folder, axes={**CAMPAIGN["axes"], "fold": [3]})
    assert wanted in fails("export", *arguments)


def test_unexpected_error_is_one_line_and_its_traceback_in_the_log(
    folder: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(options: Any) -> int:
        """Break."""
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(models, "models", broken)
    line = fails("models")
    assert "RuntimeError: first line" in line
    assert "logs/modelferry.log" in line
    assert "second line" in Path("logs/modelferry.log").read_text()


@pytest.mark.parametrize("change", ["family", "formats", "empty axis", "twice", "key"])
def test_wrong_config_is_one_line(change: str, folder: Path, fails: Callable[..., str]) -> None:
    axes = CAMPAIGN["axes"]
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "family": ({"family": "charged_higs"}, "unknown family"),
        "formats": ({"formats": ["onx"]}, "unknown format"),
        "empty axis": ({"axes": {**axes, "fold": []}}, "axis 'fold' is empty"),
        "twice": ({"axes": {**axes, "fold": [3, 3]}}, "two models are called"),
        "key": ({"chekpoint": "x"}, "did you mean 'checkpoint'?"),
    }
    write_config(folder, **changes[change][0])
    assert changes[change][1] in fails("models", logged=False)


def test_missing_config_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no config.yaml" in fails("models")


def test_folder_that_cannot_be_written_is_named(folder: Path, fails: Callable[..., str]) -> None:
    save_checkpoint(folder / "weights/Run3Mu-3.pt", 16)
    (folder / "results").write_text("a file where the folder should be")
    line = fails("export", "--fold", "3")
    assert "results" in line
    assert "None" not in line


def test_log_that_cannot_be_written_hides_no_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "logs").write_text("a file where the folder should be")
    assert main(["export", "--fold", "7"]) != 0
    assert "error: no model has fold '7'" in capsys.readouterr().err


def test_unknown_template_is_named(folder: Path, fails: Callable[..., str]) -> None:
    save_checkpoint(folder / "weights/Run3Mu-3.pt", 16)
    assert "there is no template 'x/y'" in fails("template", "x/y")


def test_two_reports_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = six()
    summary(models).write("other summary.json")
    Path("reports").mkdir(exist_ok=True)
    summary([*models[:2], failed(models[2], "off"), *models[3:]]).write("reports/summary.json")
    assert main(["report", "--against", "other summary.json"]) == 0
    printed = capsys.readouterr().out
    assert "The verdict was passed and is failed now." in printed
    assert models[2].id in printed
    assert main(["report", "--against", "reports/summary.json"]) == 0
    assert capsys.readouterr().out == "nothing but timings differs\n"


def test_report_that_is_compared_with_none_is_named(fails: Callable[..., str]) -> None:
    assert "nowhere.json is missing" in fails("report", "--against", "nowhere.json")


def test_gate_without_a_report_is_named(folder: Path, fails: Callable[..., str]) -> None:
    assert "reports/summary.json is missing" in fails("gate")


def test_doctor_says_what_this_machine_can_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) in (0, 1)
    printed = capsys.readouterr().out
    assert torch.__version__.partition("+")[0] in printed
    assert "g++" in printed


def test_doctor_names_what_is_missing_or_too_old(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["numpy>=99", "nowhere", 'missing<2; extra == "workflow"', 'pytest>=99; extra == "dev"']
    asked += ['absent; extra == "lightning"', 'lost; extra == "cpp"']
    monkeypatch.setattr("modelferry.cli.doctor.requires", lambda _: asked)
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert f"{np.__version__} does not fit: pip install 'numpy>=99'" in printed
    assert "missing: pip install 'nowhere'" in printed
    assert "missing: pip install 'missing<2' to run the workflow" in printed
    assert "missing: pip install 'absent' for family lightning" in printed
    assert "missing: pip install 'lost' for runtime cpp" in printed
    assert "pytest" not in printed


def test_a_reader_that_wants_no_more_is_no_mistake(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    call = [sys.executable, "-m", "modelferry", "doctor"]
    done = subprocess.run(call, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_rules_call_commands_that_exist() -> None:
    import re

    rules = (Path(__file__).parents[3] / "workflow/rules").glob("*.smk")
    called = {word for rule in rules for word in re.findall(r'"modelferry ([a-z-]+)', rule.read_text())}
    assert {"export", "validate", "benchmark", "report", "gate", "template", "certify"} <= called
    for command in called:
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0, command
