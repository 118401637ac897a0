"""Where the files of modelferry lie that are no Python: in a clone, or in what a wheel has installed.

A wheel has them in ``modelferry_share`` beside the package, laid out as in a clone.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_SHARE = PACKAGE.with_name("modelferry_share")
ROOT = _SHARE if _SHARE.is_dir() else PACKAGE.parents[1]

SNAKEFILE = ROOT / "workflow/Snakefile"
"""The workflow, to be included or used as a module by a Snakefile of one's own."""
CPP_SOURCES = ROOT / "workflow/cpp"
CAPTIONS = ROOT / "workflow/report"
"""What `snakemake --report` says beside pages, figures and tables."""
SCHEMAS = ROOT / "workflow/schemas"
PROFILES = ROOT / "profiles"
TEMPLATE = ROOT / "workflow/template"
"""What `modelferry init` writes, beside the profiles."""
DEMO_CONFIG = ROOT / "config.yaml"
"""The config of the demo."""
CONSTRAINTS = ROOT / "envs/constraints.txt"
"""Every version that modelferry is tested with."""

NEEDED = (SNAKEFILE, CPP_SOURCES, CAPTIONS, SCHEMAS, PROFILES, TEMPLATE, DEMO_CONFIG, CONSTRAINTS)


def lacking() -> list[str]:
    """Return what should be there and is not, named from `ROOT`."""
    return [path.relative_to(ROOT).as_posix() for path in NEEDED if not path.exists()]
