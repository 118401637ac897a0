"""Classes that a checkpoint may hold: those that were named, and nothing else."""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from modelferry.checkpoints import trusted
from modelferry.checkpoints.reader import load_state_dict
from modelferry.checkpoints.trusted import trust
from modelferry.config.file import read_config
from modelferry.core.errors import CheckpointError, ConfigError


class Settings:
    """What a training script saved beside its weights."""

    def __init__(self) -> None:
        self.width = 3


class Starts:
    """A program that starts when the file is read."""

    def __reduce__(self) -> tuple:
        return os.system, ("echo started > started",)


NAME = f"{Settings.__module__}:Settings"
WEIGHTS = {"weight": torch.zeros(2)}


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(trusted, "_names", set())
    monkeypatch.chdir(tmp_path)
    yield
    assert Settings not in torch.serialization.get_safe_globals()


def saved(extra: object) -> Path:
    torch.save({"state_dict": WEIGHTS, "settings": extra}, "m.ckpt")
    return Path("m.ckpt")


def test_class_is_refused_until_it_is_named() -> None:
    path = saved(Settings())
    with pytest.raises(CheckpointError) as refused:
        load_state_dict(path)
    for way in (f"trusted_classes: ['{NAME}']", f"--trust {NAME}", "torch.save", ".safetensors"):
        assert way in str(refused.value)
    trust([NAME])
    assert load_state_dict(path).keys() == {"weight"}
    assert load_state_dict(saved(argparse.Namespace(width=3)) if trust(["argparse:Namespace"]) is None else path)


def test_config_names_classes() -> None:
    Path("config.yaml").write_text(
        f"trusted_classes: ['{NAME}']\ncampaigns:\n  a:\n    family: bytecnn\n    axes: {{fold: [1]}}\n"
        "    checkpoint: m.ckpt\n    formats: [json]\n"
    )
    read_config()
    assert load_state_dict(saved(Settings())).keys() == {"weight"}


def test_another_class_in_the_same_file_is_refused() -> None:
    trust([NAME])
    with pytest.raises(CheckpointError, match="is refused"):
        load_state_dict(saved([Settings(), Starts()]))
    assert not Path("started").exists()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("os:system", "Python's own"),
        ("posix:system", "Python's own"),
        ("subprocess:Popen", "Python's own"),
        ("builtins:eval", "Python's own"),
        ("Settings", "not the name of a class"),
        ("a:b.c", "not the name of a class"),
    ],
)
def test_what_is_no_class_of_somebodys_is_never_trusted(name: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        trust([name])


def test_function_is_never_trusted() -> None:
    trust([f"{pathlib.PurePath.__module__}:PurePosixPath", f"{__name__}:test_function_is_never_trusted"])
    with pytest.raises(ConfigError, match="is no class, but a function"):
        load_state_dict(saved(1))
