"""A record tells whether it is whole, and an artifact whether it is the one of its manifest: no byte may change."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from modelferry.core import known_files
from modelferry.core.digests import sha256_of_file
from modelferry.core.errors import ArtifactError
from modelferry.core.known_files import FACTS, KnownFiles, known_sha256
from modelferry.core.sealed import check_manifest, sealed
from modelferry.records import ArtifactFacts, FileFacts
from modelferry.records.failure import Failure

RECORD = Failure(model="a/b", stage="export", reason='it "failed"\nbadly, at 1.5')


def flip(path: Path, place: int) -> None:
    """Change one byte under the old time of the last change."""
    found = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which it is kept what is known of files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(known_files, "SETTLED", 0)
    Path(FACTS).parent.mkdir(parents=True)
    return tmp_path


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "record.json")
    assert Failure.read(tmp_path / "record.json") == RECORD
    assert Failure.damage(tmp_path / "record.json") == ""


def test_record_with_any_other_byte_or_without_its_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    RECORD.write(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ArtifactError, match=r"record\.json"):
            Failure.read(path)
        path.write_bytes(whole[:place])
        with pytest.raises(ArtifactError, match=r"record\.json is (empty|not whole)"):
            Failure.read(path)


def test_digest_is_computed_again_when_a_byte_changes_under_the_old_time(workflow: Path) -> None:
    path = workflow / "model.pt"
    path.write_bytes(bytes(1000))
    facts = ArtifactFacts.of([path])
    assert facts.altered == []
    assert facts.altered == []
    time.sleep(0.02)
    flip(path, 500)
    assert facts.altered == [str(path)]
    assert not facts.intact
    assert known_sha256(path) == sha256_of_file(path)


def test_digest_is_computed_once(workflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workflow / "model.pt"
    path.write_bytes(bytes(1000))
    digest = known_sha256(path)
    monkeypatch.setattr(known_files, "sha256_of_file", lambda path: "another")
    assert known_sha256(path) == digest
    monkeypatch.setattr(known_files, "_opened", {})  # another process
    assert known_sha256(path) == digest
    assert known_sha256(path, fresh=True) == "another"


def test_full_check_sees_what_no_time_tells(workflow: Path) -> None:
    path = workflow / "model.pt"
    path.write_bytes(bytes(1000))
    facts = FileFacts.of(path)
    assert facts.unchanged
    known = known_files.known_files()
    known.facts = dict.fromkeys(known.facts, '"' + "0" * 64 + '"')  # as of bytes that the disk has lost since
    assert not facts.unchanged
    assert facts.intact


def test_spoilt_lines_tell_nothing(workflow: Path) -> None:
    path = workflow / "model.pt"
    path.write_bytes(bytes(1000))
    digest = known_sha256(path)
    facts = Path(FACTS)
    for place in range(len(facts.read_text()) - 1):
        text = facts.read_text()
        spoilt = text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
        other = workflow / "spoilt"
        other.write_text(spoilt)
        assert KnownFiles(other).ask(path, "sha256", lambda _: digest) == digest


def test_nothing_is_kept_outside_the_folder_of_a_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"x")
    known_sha256("model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_what_changed_a_moment_ago_is_not_kept(workflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_files, "SETTLED", 10**12)
    (workflow / "model.pt").write_bytes(b"x")
    known_sha256("model.pt")
    assert not Path(FACTS).exists()


def test_files_are_checked_against_the_manifest_beside_them_or_another(tmp_path: Path) -> None:
    model, weights, manifest = (tmp_path / name for name in ("model.pt", "model.bin", "manifest.json"))
    model.write_bytes(bytes(100))
    weights.write_bytes(bytes(10))
    facts = ArtifactFacts.of([model, weights])
    manifest.write_text(sealed(f'{{\n "artifact": {facts.model_dump_json()}\n}}'))
    check_manifest([model, weights], None)
    elsewhere = tmp_path / "elsewhere.json"
    manifest.rename(elsewhere)
    flip(weights, 5)
    check_manifest([model, weights], None)  # none beside it
    with pytest.raises(ArtifactError, match=r"model\.bin is not the file that .*elsewhere\.json describes"):
        check_manifest([model, weights], elsewhere)
    elsewhere.rename(manifest)
    with pytest.raises(ArtifactError, match=r"model\.bin is not the file"):
        check_manifest([model, weights], None)
    flip(manifest, 20)
    with pytest.raises(ArtifactError, match=r"manifest\.json was altered"):
        check_manifest([model], None)


def test_manifest_that_is_about_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(b"x")
    model = tmp_path / "model.pt"
    model.write_bytes(b"x")
    facts = ArtifactFacts.of([tmp_path / "other.pt"])
    (tmp_path / "manifest.json").write_text(sealed(f'{{\n "artifact": {facts.model_dump_json()}\n}}'))
    check_manifest([model], None)
    with pytest.raises(ArtifactError, match=r"does not describe model\.pt"):
        check_manifest([model], tmp_path / "manifest.json")
