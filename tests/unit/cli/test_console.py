"""The console of a run, told what Snakemake tells it."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase

import snakemake_logger_plugin_modelferry as plugin
from modelferry.cli import run_display
from modelferry.cli.console import Console, ConsoleSettings
from modelferry.cli.job_log import logged
from modelferry.core.running import RUN
from modelferry.plan.announcement import CONSOLE, PLUGIN, SHORT, Announced, Job, choose_console

MODELS = ("a/fold-0", "a/fold-1")
JOBS = {
    **{number: Job("validate", f"validate {model}", {model: ()}) for number, model in enumerate(MODELS)},
    2: Job("report", "report"),
}
OLD = "--- modelferry validate (1)\nerror: of the last run\n--- modelferry validate (2)\n"
"""The log of a job that has just begun."""


class TestConformance(TestLogHandlerBase):
    """What Snakemake asks of every logger plugin."""

    __test__ = True

    def get_log_handler_cls(self) -> type[Console]:
        return Console

    def get_log_handler_settings(self) -> ConsoleSettings:
        return ConsoleSettings()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(words: str, stream: io.StringIO) -> None:
    end = time.monotonic() + 30
    while words not in stream.getvalue():
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.01)


def record(event: LogEvent | None, said: str = "", level: int = logging.INFO, **facts: Any) -> logging.LogRecord:
    made = logging.LogRecord("snakemake.logging", level, "", 0, said, (), None)
    made.__dict__.update(facts, event=event)
    return made


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Console, io.StringIO]]:
    """Return a console of a run with two models and a report, and what it writes to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_display, "outcome", lambda plan, model, whole: f"passed: {model}")

    def begin(
        stream: io.StringIO | None = None, jobs: dict[int, Job] = JOBS, whole: bool = True
    ) -> tuple[Console, io.StringIO]:
        settings = MockOutputSettings()
        settings.nocolor = True
        console = Console(settings, ConsoleSettings())
        console.setFormatter(logging.Formatter("%(msg)s"))
        console.stream = console.plain.stream = stream = stream or io.StringIO()
        console.emit(record(LogEvent.WORKFLOW_STARTED))
        console.emit(record(LogEvent.RUN_INFO, "Job stats: …", announced=Announced(SimpleNamespace(), jobs, whole)))  # type: ignore[arg-type]
        return console, stream

    return begin


def test_snakemake_finds_the_plugin_by_its_name() -> None:
    assert LoggerPluginRegistry().is_installed(PLUGIN)
    assert plugin.LogHandler is Console


def test_clean_run_is_a_line_for_each_model_and_how_it_ended(begun: Callable[..., Any]) -> None:
    console, stream = begun()
    for number in JOBS:
        console.emit(record(LogEvent.JOB_INFO, "rule validate: …", jobid=number))
        console.emit(record(LogEvent.SHELLCMD, "modelferry validate …"))
        console.emit(record(LogEvent.JOB_FINISHED, "Finished jobid …", job_id=number))
        console.emit(record(LogEvent.PROGRESS, None))  # type: ignore[arg-type]
    console.emit(record(None, "Complete log(s): …"))
    console.close()
    console.close()
    assert stream.getvalue().splitlines() == [
        "3 jobs of 2 models",
        "passed: a/fold-0",
        "passed: a/fold-1",
        "3 of 3 jobs done in 0 s",
        "there is no report yet",
    ]


def test_run_of_a_part_says_nothing_of_the_report(begun: Callable[..., Any]) -> None:
    console, stream = begun(whole=False)
    console.close()
    assert stream.getvalue().splitlines()[1:] == [
        "0 of 3 jobs done in 0 s; 2 models not done, which the same command does"
    ]


def test_failed_job_is_one_line_with_the_last_error_of_its_log(begun: Callable[..., Any]) -> None:
    console, stream = begun()
    Path("v.log").write_text(
        "--- modelferry validate (1)\nerror: of old\n--- modelferry validate (2)\nTraceback\nerror: no disk\n"
    )
    console.emit(record(LogEvent.JOB_INFO, jobid=0))
    console.emit(record(LogEvent.ERROR, "RuleException:\nCalledProcessError in file …", logging.ERROR))
    console.emit(record(LogEvent.JOB_ERROR, "Error in rule", logging.ERROR, jobid=0, rule_msg=None, log=["v.log"]))
    console.emit(
        record(LogEvent.ERROR, "WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR)
    )
    console.close()
    assert stream.getvalue().splitlines()[1:] == [
        "error: validate a/fold-0: no disk; log: v.log",
        "0 of 3 jobs done in 0 s; 1 model not done, which the same command does",
        "there is no report yet",
    ]


def test_job_that_says_nothing_and_is_tried_again(begun: Callable[..., Any]) -> None:
    console, stream = begun()
    Path("v.log").write_text(OLD)
    held = {"jobid": 1, "rule_msg": "HTCondor job 7 has been held. Hold reason: on purpose\nmore", "log": ["gone.log"]}
    console.emit(record(LogEvent.JOB_ERROR, "Error in rule", logging.ERROR, jobid=0, rule_msg=None, log=["v.log"]))
    console.emit(record(LogEvent.JOB_ERROR, "Error in rule", logging.ERROR, **held))
    console.emit(record(None, "Trying to restart job 1."))
    assert stream.getvalue().splitlines()[1:] == [
        "error: validate a/fold-0: ended without a message; log: v.log",
        "error: validate a/fold-1: HTCondor job 7 has been held. Hold reason: on purpose",
        "validate a/fold-1 is tried again",
    ]


def test_other_errors_and_warnings_of_snakemake_are_shown(begun: Callable[..., Any]) -> None:
    console, stream = begun()
    console.emit(record(None, "Touching output file x."))
    console.emit(record(None, "the disk is full", logging.WARNING))
    console.emit(record(LogEvent.ERROR, "MissingInputException in rule x", logging.ERROR))
    assert stream.getvalue().splitlines()[1:] == ["the disk is full", "MissingInputException in rule x"]


def test_in_a_terminal_the_progress_stays_below_the_lines(
    begun: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_display, "REDRAWN", 0.01)
    console, stream = begun(Terminal())
    console.emit(record(LogEvent.JOB_INFO, jobid=0))
    wait_for("1 running", stream)
    console.emit(record(LogEvent.JOB_FINISHED, job_id=0))
    console.close()
    before, _, after = stream.getvalue().partition("\r\x1b[2Kpassed: a/fold-0\n")
    *_, drawn = before.removeprefix("3 jobs of 2 models\n").split("\r\x1b[2K")
    assert drawn == "0 of 2 models done, 1 running, 0 failed, 0 of 3 jobs"
    assert after.endswith("there is no report yet\n")
    assert before.count("\n") == 1


def test_where_there_is_no_terminal_the_progress_is_a_line_now_and_then(
    begun: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    console, stream = begun()
    for elapsed in range(1, 3601):
        console.run._show(console.run.progress.begun + elapsed)
    lines = stream.getvalue().splitlines()[1:]
    assert set(lines) == {"0 of 2 models done, 0 running, 0 failed, 0 of 3 jobs"}
    assert 10 <= len(lines) <= 16, "an hour, and no silence of more than ten minutes"
    assert "\x1b" not in stream.getvalue()


def test_model_of_a_chunk_is_told_when_its_files_are_there(
    begun: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_display, "REDRAWN", 0.01)
    monkeypatch.setattr(run_display, "LOOKED", 0.01)
    Path("old.json").write_text("of the last run")
    console, stream = begun(jobs={0: Job("chunk_models", "chunk models-1", {"b": ("old.json",), "c": ("new.json",)})})
    console.emit(record(LogEvent.JOB_INFO, jobid=0))
    Path("new.json").write_text("made")
    wait_for("passed", stream)
    console.close()
    assert [line for line in stream.getvalue().splitlines() if ":" in line] == ["passed: c"]


@pytest.mark.parametrize("setting", ["verbose", "dryrun"])
def test_verbose_and_dry_runs_show_what_snakemake_says(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = MockOutputSettings()
    setattr(settings, setting, True)
    settings.stdout = True
    console = Console(settings, ConsoleSettings())
    console.setFormatter(logging.Formatter("%(msg)s"))
    console.emit(record(LogEvent.RUN_INFO, "Job stats: …", announced=Announced(SimpleNamespace(), JOBS, True)))  # type: ignore[arg-type]
    console.emit(record(LogEvent.JOB_INFO, "rule validate: …"))
    console.close()
    assert [line for line in capsys.readouterr().out.splitlines() if line] == ["Job stats: …", "rule validate: …"]


@pytest.mark.parametrize(
    ("handlers", "verbose", "wanted"), [((PLUGIN,), False, SHORT), ((PLUGIN,), True, "verbose"), ((), False, None)]
)
def test_jobs_know_the_console(
    handlers: tuple[str, ...], verbose: bool, wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONSOLE, "of another run")
    settings = SimpleNamespace(log_handler_settings=dict.fromkeys(handlers), verbose=verbose)
    choose_console(SimpleNamespace(output_settings=settings))
    assert os.environ.get(CONSOLE) == wanted


def test_what_a_job_prints_is_in_its_log_with_that_of_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs/validate/a.log"
    monkeypatch.setenv(RUN, "now")
    monkeypatch.setenv(CONSOLE, SHORT)
    for attempt in ("first", "second"):
        with logged(str(log), ["validate", "--model", "a b"]):
            print(attempt)
            os.system("echo from a program >&2")
    print("afterwards")
    lines = log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("---")] == [
        "first", "from a program", "second", "from a program",
    ]  # fmt: skip
    assert [line.rpartition("(")[0] for line in lines if line.startswith("---")] == [
        "--- modelferry validate --model 'a b' ",
        "--- ended ",
    ] * 2
    assert capfd.readouterr() == ("afterwards\n", "")


@pytest.mark.parametrize("case", ["no run", "another console", "a log that cannot be written"])
def test_what_a_job_prints_is_on_the_screen_otherwise(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    log = tmp_path / ("file/x.log" if case == "a log that cannot be written" else "x.log")
    if case != "no run":
        monkeypatch.setenv(RUN, "now")
    if case != "another console":
        monkeypatch.setenv(CONSOLE, SHORT)
    with logged(str(log), []):
        print("told")
    assert capfd.readouterr().out == "told\n"
    assert log.exists() == (case == "another console"), "when jobs begin and end is noted for every console"
