"""A sign of life during long work: where a person looks, and only if it is long."""

from __future__ import annotations

import io
import sys
import time

import pytest

from modelferry.core import long_work as module
from modelferry.core.long_work import long_work


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_long_work_is_shown_and_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    with long_work("writing a.onnx"):
        end = time.monotonic() + 30
        while not terminal.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
    shown, erased, rest = terminal.getvalue().removeprefix("\r").split("\r")
    assert (shown, erased.strip(), len(erased), rest) == ("writing a.onnx … 0 s", "", len(shown), "")


def test_quick_work_is_not_shown_and_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with pytest.raises(KeyError), long_work("writing a.onnx"):
        raise KeyError
    assert terminal.getvalue() == ""


def test_nothing_is_shown_in_files_and_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    with long_work("writing a.onnx"):
        time.sleep(0.05)
    assert file.getvalue() == ""
