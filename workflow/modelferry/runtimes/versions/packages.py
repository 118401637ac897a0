"""Packages of another version, put into a folder of their own the first time that they are asked for.

The folder lies in a cache of the user's, so that no workflow gets them again.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from modelferry.core.errors import ArtifactError
from modelferry.core.files import temporary_name
from modelferry.runtimes.shared.cache import cache_folder, one_at_a_time

PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")


def unavailable() -> str:
    """Return what is missing to get packages, and the remedy; empty if nothing is."""
    return "" if find_spec("pip") else "no pip; python -m ensurepip"


def folder_of(name: str) -> Path:
    """Return where the packages called `name` lie for this Python, or would."""
    return cache_folder() / f"{name}-{sysconfig.get_python_version()}"


def packages(name: str, requirements: Sequence[str]) -> Path:
    """Return the folder of the packages called `name`; pip gets them, without what they require, if it is not there.

    Raises
    ------
    ArtifactError
        If pip cannot get them.
    """
    folder = folder_of(name)
    with one_at_a_time(folder):
        if not folder.is_dir():
            temporary = temporary_name(folder)
            command = [*PIP, "--no-deps", "--target", str(temporary), *requirements]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                shutil.rmtree(temporary, ignore_errors=True)
                said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or ["pip failed"]
                by_hand = shlex.join([*PIP, "--no-deps", "--target", str(folder), *requirements])
                remedy = f"where there is a package index, run {by_hand}"
                raise ArtifactError(f"{name} cannot be installed: {said[-1].removeprefix('ERROR: ')}", remedy)
            temporary.rename(folder)
    return folder
