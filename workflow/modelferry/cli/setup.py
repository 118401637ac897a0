"""What a machine can do, what it lacks, and files that are generated from this package."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelferry.core.files import write_text


def doctor(options: argparse.Namespace) -> int:
    """Show what this machine can do, and what to install for the rest."""
    from modelferry.cli.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok ' if finding.fine else '-- '} {finding.what:<22} {finding.detail}")
    return 0 if all(finding.fine or finding.optional for finding in findings) else 1


def build_cpp(options: argparse.Namespace) -> int:
    """Build the C++ runtime, or take it from the cache, and print the folder that it is installed in."""
    from modelferry.runtimes.native import build

    print(build.install().resolve())
    return 0


def schemas(options: argparse.Namespace) -> int:
    """Write the JSON schemas of the config and of every record."""
    from modelferry.cli.schemas import all_schemas

    for name, text in all_schemas().items():
        write_text(Path(options.folder) / name, text)
    return 0
