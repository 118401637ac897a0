"""Only regular files are opened, none larger than it may be; whatever is wrong is one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelferry.config.file import parse_config
from modelferry.core.errors import ArtifactError, ConfigError, EventFileError
from modelferry.core.reading import check_entries, parse_yaml, read_json, read_text, reading_events, regular_file

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is a named pipe, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
        (lambda path: path.symlink_to("nowhere"), "a link to nowhere, is missing"),
        (lambda path: path.mkdir(), "is a folder, not a file"),
        (lambda path: path.write_bytes(bytes(11)), "11 bytes, and 10 are allowed"),
    ],
)
def test_what_is_no_regular_file_or_too_large_is_named(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "x")
    with pytest.raises(ArtifactError, match=said):
        regular_file(tmp_path / "x", most=10)


@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
def test_path_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        regular_file(tmp_path / name)


def test_text_and_json_that_are_none_are_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 3\)"):
        read_text(path, ConfigError)
    for text, said in (
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds a list instead of an object"),
        ("{", "is not JSON"),
    ):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=said):
            read_json(path)


@pytest.mark.parametrize(
    "text",
    ["a: &a\n  b: *a\n", "&a [*a]", "[" * 3000 + "]" * 3000, LAUGHS, "a: [", "2020-13-45", "a: 0o9999999\n? [1]\n: {"],
)
def test_yaml_that_is_deep_multiplies_or_is_none_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x (is not valid YAML|has more than)") as caught:
        parse_yaml(text, ConfigError, "x")
    assert len(str(caught.value).splitlines()) == 1


def test_yaml_with_anchors_is_read() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: *a\n", ConfigError, "x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_width_in_a_pattern_is_refused_before_it_fills_the_memory() -> None:
    campaign = {"family": "bytecnn", "axes": {"fold": [0]}, "formats": ["json"]}
    for pattern in ("{fold:>1000000000}.pt", "{fold!r}.pt", "{fold.__class__}.pt", "{fold[0]}"):
        with pytest.raises(ConfigError, match="axis"):
            parse_config({"campaigns": {"a": {**campaign, "checkpoint": pattern}}})


def test_error_of_a_library_becomes_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.root").write_bytes(b"x")
    path = tmp_path / "x.root"
    with pytest.raises(EventFileError, match=r"whole ROOT file \(deep"), reading_events(path, "ROOT file"):
        raise RecursionError("deep\nindeed")
    with pytest.raises(EventFileError, match="cannot hold 1,000 events"):
        check_entries("x.root", 1000, 9)
