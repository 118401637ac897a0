"""Releases: artifacts that leave the workflow with all that proves them, and their verification elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from modelferry.cli.jobs import chosen as chosen_models
from modelferry.cli.jobs import plan_of
from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ConfigError, ModelferryError, did_you_mean
from modelferry.records.summary import Summary, SummaryModel


def release(options: argparse.Namespace) -> int:
    """Write a release: chosen artifacts that passed, by default those that the report advises to ship."""
    from modelferry.stages.release.signature import sign
    from modelferry.stages.release.write import Chosen, write_release
    from modelferry.stages.report.card import model_card
    from modelferry.stages.report.collect import collect
    from modelferry.stages.report.grouping import by_campaign
    from modelferry.stages.report.recommendation import best
    from modelferry.stages.validation.expected import expected_calls

    plan = plan_of(options)
    reported = Summary.read(paths.SUMMARY)
    _, contracts = collect(plan)
    wanted = {planned.id for planned in chosen_models(plan, options, by_default=True)}
    models = [model for model in reported.models if model.id in wanted]
    passed = [model for model in models if model.status == "passed"]
    advised = {campaign: best(of) for campaign, of in by_campaign(passed).items()}
    exports = {export for model in models for export in _exports(model)}
    for name in options.format:
        if name not in exports:
            raise ConfigError(f"no model has an export '{name}'", did_you_mean(name, exports))
    chosen = [
        Chosen(model.id, export)
        for model in passed
        for export in _exports(model)
        if export in (options.format or [advised[model.campaign]])
    ]
    if not chosen:
        raise ArtifactError("there is nothing to release: no chosen model has passed", f"see {paths.REPORT}")
    out = Path(options.out)

    made = write_release(
        out,
        reported,
        chosen,
        lambda places: model_card(out.name, reported, contracts, places),
        lambda one: expected_calls(plan.planned(one.model), one.export),
        lambda all_of_them: tqdm(all_of_them, unit="artifact", disable=None, file=sys.stderr),
    )
    if options.sign:
        sign(out, Path(options.sign))
    left_out = sorted({model.id for model in models} - {one.model for one in chosen})
    print(f"{out}: {len(made.artifacts)} artifacts of {len({one.model for one in chosen})} models")
    for model in left_out:
        print(f"left out: {model}, which has not passed, or lacks these exports", file=sys.stderr)
    return 0


def verify(options: argparse.Namespace) -> int:
    """Verify a release anywhere: signature, digests, completeness, and outputs where its runtimes are."""
    from modelferry.stages.release.signature import check_signature
    from modelferry.stages.release.sums import SIGNATURE
    from modelferry.stages.release.verify import check_outputs, check_sums, read_release

    folder = Path(options.folder)
    check_sums(folder)
    if options.key:
        check_signature(folder, Path(options.key))
        print(f"signed by the owner of {options.key}")
    elif (folder / SIGNATURE).exists():
        print("signed; give --key to check by whom", file=sys.stderr)
    release = read_release(folder)
    print(f"whole: {len(release.artifacts)} artifacts, every byte as listed")
    if options.files_only:
        return 0
    findings = list(check_outputs(folder, release))
    for reason in dict.fromkeys(finding.not_run for finding in findings if finding.not_run):
        formats = sorted({finding.artifact.format for finding in findings if finding.not_run == reason})
        print(f"not run: {', '.join(formats)}: {reason}", file=sys.stderr)
    wrong = [finding for finding in findings if finding.wrong]
    for finding in wrong:
        print(f"error: {finding.artifact.path}: {finding.wrong}", file=sys.stderr)
    run = sum(not (finding.wrong or finding.not_run) for finding in findings)
    print(f"same outputs: {run} of {len(findings)} artifacts")
    if wrong:
        raise ModelferryError("the release does not give here what it gave", "compare environment in release.json")
    return 0


def _exports(model: SummaryModel) -> list[str]:
    return [artifact.export for artifact in model.artifacts]
