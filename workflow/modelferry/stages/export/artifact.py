"""Export: a template filled with one model's weights, and the manifest beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core import paths
from modelferry.core.environment import describe
from modelferry.core.errors import ArtifactError
from modelferry.core.files import replacing
from modelferry.families.weights import count_parameters, trained_weights
from modelferry.formats import load_format
from modelferry.records import ArtifactFacts, FileFacts
from modelferry.records.export import Manifest, Template

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel


def export_model(planned: PlannedModel, export: str) -> Manifest:
    """Fill the template of `export` with a model's weights, write artifact and manifest, and return the manifest.

    Raises
    ------
    CheckpointError
        If the checkpoint is missing, unsafe, unreadable or another network's.
    ArtifactError
        If the template is missing or was altered since it was built.
    """
    started = time.perf_counter()
    model, spec = planned.model, planned.template(export)
    family, target = planned.family, load_format(spec.format)
    planned.check()
    weights = trained_weights(family, planned.hyperparameters, planned.model.checkpoint)
    template = Template.read(spec.record)
    if not template.file.intact:
        raise ArtifactError(f"{template.file.path} was altered after it was built", "delete it and run again")
    out = Path(planned.artifact(export))
    converted = family.rewritten_weights(weights, spec.hyperparameters, spec.layout, spec.transforms)
    with replacing(*target.files(out)) as temporary:
        target.fill(Path(template.file.path), converted, {"model": model.id}, temporary)
    manifest = Manifest(
        model=model.id,
        campaign=model.campaign,
        family=model.family,
        axes=model.axes,
        hyperparameters=spec.hyperparameters,
        architecture=spec.architecture,
        parameters=count_parameters(family, planned.hyperparameters),
        export=export,
        format=spec.format,
        layout=spec.layout,
        options=spec.options,
        exactness=spec.exactness,
        transforms=tuple(sorted(spec.transforms)),
        artifact=ArtifactFacts.of(target.files(out)),
        checkpoint=FileFacts.of(model.checkpoint),
        demo=model.demo,
        template_sha256=template.file.sha256,
        contract=template.contract,
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )
    manifest.write(paths.manifest(model.id, export))
    return manifest
