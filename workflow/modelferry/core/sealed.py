"""JSON files that tell whether they are whole, and files beside them that they have digests of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from modelferry.core.digests import sha256_of_file
from modelferry.core.errors import ArtifactError
from modelferry.core.reading import read_text

MANIFEST = "manifest.json"
SEAL = ',\n "content_sha256": "{}"\n}}\n'
"""The end of every record: the digest of what goes before it."""
SEALED = re.compile(re.escape(SEAL.format("@")).replace("@", "([0-9a-f]{64})") + r"\Z")
AGAIN = "delete it and run again"


def sealed(text: str) -> str:
    """Return the JSON text of an object, written with an indent of 1, with its digest as the last entry."""
    text = text.removesuffix("\n}")
    return text + SEAL.format(_digest(text))


def read_sealed(path: Path | str, missing: str) -> str:
    """Return the JSON text in a file, without its digest.

    Raises
    ------
    ArtifactError
        If it is missing, with that remedy, not whole, or altered since it was written.
    """
    text = read_text(path, ArtifactError, missing)
    if (seal := SEALED.search(text)) is None:
        reason = "empty" if not text.strip() else "not whole, or not written by this version"
        raise ArtifactError(f"{path} is {reason}", AGAIN)
    text = text[: seal.start()]
    if _digest(text) != seal[1]:
        raise ArtifactError(f"{path} was altered after it was written", AGAIN)
    return text + "\n}"


def check_manifest(files: Sequence[Path], manifest: Path | None) -> None:
    """Raise `ArtifactError` unless the files of an artifact are those that its manifest describes; all bytes are read.

    Parameters
    ----------
    manifest
        By default the one beside the files, if it is one of modelferry's that is about them.
    """
    path = manifest or files[0].with_name(MANIFEST)
    if manifest is None and not path.is_file():
        return
    try:
        content = json.loads(read_sealed(path, "export again"))
        known = {Path(file["path"]).name: file["sha256"] for file in content["artifact"]["files"]}
    except (ValueError, TypeError, LookupError) as error:
        raise ArtifactError(f"{path} is not the manifest of an artifact", "give `manifest=` another path") from error
    if manifest is None and files[0].name not in known:
        return
    for file in files:
        if file.name not in known:
            raise ArtifactError(f"{path} does not describe {file.name}", "give `manifest=` the path of its own")
        if sha256_of_file(file) != known[file.name]:
            raise ArtifactError(f"{file} is not the file that {path} describes", "export it again")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
