"""Signatures of releases by a private key, through the optional package model-signing; no network is needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from modelferry.core.errors import ArtifactError, ConfigError, one_line
from modelferry.stages.release.sums import SIGNATURE

PACKAGE = "model_signing"


def sign(folder: Path, private_key: Path) -> None:
    """Sign all files of a release.

    Raises
    ------
    ConfigError
        If the package is not installed, or the key cannot be read.
    """
    signing = _package("signing")
    try:
        signing.Config().use_elliptic_key_signer(private_key=private_key).set_hashing_config(_hashing(folder)).sign(
            folder, folder / SIGNATURE
        )
    except Exception as error:  # the package and the libraries below it raise errors of many kinds
        raise ConfigError(f"{private_key} does not sign: {one_line(error)}", "give a private key in PEM") from error


def check_signature(folder: Path, public_key: Path) -> None:
    """Raise `ArtifactError` unless a release was signed by the owner of a key, and is as it was then."""
    verifying = _package("verifying")
    if not public_key.is_file():
        raise ConfigError(f"there is no key {public_key}", "give the public key in PEM")
    if not (folder / SIGNATURE).is_file():
        raise ArtifactError(f"{folder} is not signed", "ask for the signed release")
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=public_key).set_hashing_config(_hashing(folder)).verify(
            folder, folder / SIGNATURE
        )
    except Exception as error:  # a damaged signature breaks the package in many ways
        reason = f"{folder} is not what the owner of {public_key} signed: {one_line(error)}"
        raise ArtifactError(reason, "get the release and the key again") from error


def _hashing(folder: Path) -> Any:
    return _package("hashing").Config().set_ignored_paths(paths=[folder / SIGNATURE], ignore_git_paths=False)


def _package(module: str) -> Any:
    try:
        return importlib.import_module(f"{PACKAGE}.{module}")
    except ImportError as error:
        raise ConfigError("signatures need the package model-signing", "pip install 'modelferry[sign]'") from error
