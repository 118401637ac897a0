"""Writes a release: chosen artifacts with all that proves them. The same inputs give the same bytes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ConfigError
from modelferry.core.expected import ExpectedCall, write_expected
from modelferry.core.files import write_text
from modelferry.records.export import Manifest
from modelferry.records.release import Release, ReleasedArtifact
from modelferry.records.summary import Summary
from modelferry.records.validation import Validation
from modelferry.stages.release.materials import bill_of_materials
from modelferry.stages.release.sums import write_sums

CARD = "README.md"
MATERIALS = "sbom.cdx.json"
OF_THE_PROJECT = ("LICENSE", "CITATION.cff")
"""Files of the working folder that come along if they are there."""
REPORTS = ("summary.md", "summary.html", "summary.json")


@dataclass(frozen=True)
class Chosen:
    """An artifact to release."""

    model: str
    export: str

    @property
    def folder(self) -> str:
        """Where it lies in the release."""
        return f"models/{self.model}/{self.export}"


def write_release(
    out: Path,
    summary: Summary,
    chosen: Sequence[Chosen],
    card: Callable[[Mapping[tuple[str, str], str]], str],
    expected: Callable[[Chosen], list[ExpectedCall]],
    progress: Callable[[Sequence[Chosen]], Iterable[Chosen]] = iter,
) -> Release:
    """Write a release to the folder `out`, all at once.

    Parameters
    ----------
    card
        Makes the model card from the path of each artifact, by model and export.
    expected
        Gives the events that travel with an artifact, and what they must give.

    Raises
    ------
    ConfigError
        If `out` is there already.
    ArtifactError
        If an artifact is not the one that the report is about.
    """
    if out.exists():
        raise ConfigError(f"{out} is there already", "give a name that is not, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        folder = Path(temporary) / out.name
        reported = {(model.id, artifact.export): artifact for model in summary.models for artifact in model.artifacts}
        artifacts = []
        for one in progress(chosen):
            artifacts.append(_copy(one, reported[one.model, one.export].sha256, folder))
            write_expected(folder / artifacts[-1].expected, expected(one))
        release = Release(
            name=out.name,
            artifacts=tuple(artifacts),
            reported=summary.generated,
            commit=summary.commit,
            config_sha256=summary.config_sha256,
            environment=summary.environment,
        )
        release.write(folder / Release.FILE)
        write_text(folder / CARD, card({(one.model, one.export): one.path for one in artifacts}))
        for name in REPORTS:
            _copy_file(Path(paths.REPORTS) / name, folder / "report" / name)
        for name in filter(lambda name: Path(name).is_file(), OF_THE_PROJECT):
            _copy_file(Path(name), folder / name)
        write_text(folder / MATERIALS, bill_of_materials())
        write_sums(folder)
        folder.rename(out)
    return release


def _copy(one: Chosen, sha256: str, folder: Path) -> ReleasedArtifact:
    """Copy an artifact with its records and the certificates that they rest on."""
    manifest = Manifest.read(paths.manifest(one.model, one.export))
    if manifest.artifact.sha256 != sha256 or not manifest.artifact.intact:
        raise ArtifactError(f"{manifest.artifact.path} is not what the report is about", "run `snakemake` again")
    source = Path(manifest.artifact.path).parent
    records = [
        source / "manifest.json",
        *sorted(source.glob("validation.*.json")),
        *sorted(source.glob("benchmark.*.json")),
    ]
    for path in (*map(Path, manifest.artifact.paths), *records):
        _copy_file(path, folder / one.folder / path.name)
    validations = [Validation.read(path) for path in records if path.name.startswith("validation.")]
    current = [validation for validation in validations if validation.artifact_sha256 == sha256]
    certificates = {
        v.certificate: v.certificate.replace(paths.TEMPLATES, "certificates") for v in current if v.certificate
    }
    for certificate, place in certificates.items():
        _copy_file(Path(certificate), folder / place)
    return ReleasedArtifact(
        model=one.model,
        export=one.export,
        format=manifest.format,
        layout=manifest.layout,
        exactness=manifest.exactness,
        files={f"{one.folder}/{Path(file.path).name}": file.sha256 for file in manifest.artifact.files},
        manifest=f"{one.folder}/manifest.json",
        expected=f"{one.folder}/expected.npz",
        tolerance=current[0].tolerance,
        verdicts={validation.runtime: validation.status for validation in current},
        certificates=tuple(certificates.values()),
    )


def _copy_file(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
