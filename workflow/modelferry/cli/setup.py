"""What a machine can do, what it lacks, and files that are generated from this package."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path

from modelferry.cli.jobs import exit_code, in_parts, print_json
from modelferry.core import paths
from modelferry.core.files import write_text
from modelferry.plan.stages import BUILD_CPP


def doctor(options: argparse.Namespace) -> int:
    """Show what this machine can do, and what to install for the rest."""
    from modelferry.cli.doctor import examine

    findings = examine()
    if options.json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    for finding in () if options.json else findings:
        print(f"{'ok ' if finding.fine else '-- '} {finding.what:<22} {finding.detail}")
    return 0 if all(finding.fine or finding.optional for finding in findings) else 1


def init(options: argparse.Namespace) -> int:
    """Write a folder for an analysis of your own, in which `snakemake --cores N` runs the workflow."""
    from modelferry.cli.init import write_folder

    written = write_folder(options.folder, options.family)
    print(f"{options.folder} has {', '.join(written)}")
    print(f"next: cd {shlex.quote(options.folder)} && snakemake --cores 2")
    return 0


def build_cpp(options: argparse.Namespace) -> int:
    """Build the C++ runtime, or take it from the cache, and print the folder that it is installed in."""
    from modelferry.runtimes.native import build

    def run() -> list[Path]:
        Path(paths.outcome(subject, BUILD_CPP.rule)).unlink(missing_ok=True)
        prefix = build.install()
        print(prefix.resolve())
        return [prefix / build.RUNNER]

    subject = f"runtimes/cpp-{build.key()}"
    return exit_code([in_parts(BUILD_CPP, subject, {"": run}, options, whole=True)], options)


def schemas(options: argparse.Namespace) -> int:
    """Write the JSON schemas of the config and of every record."""
    from modelferry.cli.schemas import all_schemas

    for name, text in all_schemas().items():
        write_text(Path(options.folder) / name, text)
    return 0
