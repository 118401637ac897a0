"""An artifact, loaded by the runtime that will execute it, together with what it was made from."""

from __future__ import annotations

import filecmp
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.families import Family
from modelferry.families.weights import trained_weights
from modelferry.formats import Format, Runner, load_format
from modelferry.records.export import Manifest, Template
from modelferry.runtimes import Runtime, runtime_of

if TYPE_CHECKING:
    import torch

    from modelferry.core.contract import Contract
    from modelferry.families import StateDict
    from modelferry.plan.models import PlannedModel
    from modelferry.plan.templates import TemplateSpec


@dataclass(frozen=True)
class LoadedArtifact:
    """An artifact in its runtime, and the plan and record of its export."""

    planned: PlannedModel
    spec: TemplateSpec
    family: Family
    target: Format
    manifest: Manifest
    runtime: Runtime
    run: Runner

    @classmethod
    def of(cls, planned: PlannedModel, export: str, manifest: Manifest, runtime: str = "") -> LoadedArtifact:
        """Load what `manifest` describes in a runtime of its format, by default as the format itself does."""
        spec = planned.template(export)
        target, executes = load_format(spec.format), runtime_of(spec.format, runtime) if runtime else Runtime()
        run = executes.load(target, Path(manifest.artifact.path), threads=1)
        return cls(planned, spec, planned.family, target, manifest, executes, run)

    @property
    def contract(self) -> Contract:
        """What the artifact takes and gives."""
        return self.manifest.contract

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.manifest.artifact.path)

    def weights(self, checkpoint: str | None = None, transforms: frozenset[str] | None = None) -> StateDict:
        """Return the deployable's weights for a checkpoint, by default the model's own."""
        hyperparameters = self.planned.hyperparameters
        trained = trained_weights(self.family, hyperparameters, checkpoint or self.planned.model.checkpoint)
        transforms = self.spec.transforms if transforms is None else transforms
        return self.family.rewritten_weights(trained, self.spec.hyperparameters, self.spec.layout, transforms)

    def weights_inside(self) -> dict[str, bytes]:
        """Return the weights that the file holds; an approximated network holds them as well, an inexact format not."""
        return self.target.read_weights(self.path) if self.target.exactness == "exact" else {}

    def other_than_filled(self, weights: StateDict) -> str:
        """Return that the artifact is not its template filled with `weights`, byte for byte; empty if it is."""
        template = Template.read(self.spec.record)
        if not template.file.intact:
            return f"{template.file.path} was altered after it was built"
        with tempfile.TemporaryDirectory(prefix="modelferry-filled-") as folder:
            again = Path(folder) / self.path.name
            self.target.fill(Path(template.file.path), weights, {"model": self.planned.id}, again)
            pairs = zip(self.target.files(again), self.target.files(self.path), strict=True)
            same = all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
        return "" if same else "it is not its template with the weights of the checkpoint, byte for byte"

    def deployable(self, weights: StateDict, transforms: frozenset[str] | None = None) -> torch.nn.Module:
        """Return the network that was exported, with `weights`, in eager mode; `transforms` may be others."""
        transforms = self.spec.transforms if transforms is None else transforms
        network = self.family.rewritten(self.spec.hyperparameters, self.spec.layout, transforms)
        network.load_state_dict(dict(weights))
        own = self.family.contract(self.spec.hyperparameters, self.spec.layout)
        return self.target.delivered(network.eval(), own)
