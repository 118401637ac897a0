"""What the Snakemake workflow catalog asks of a repository, as far as it can be told without it.

https://snakemake.github.io/snakemake-workflow-catalog/docs/about/adding_workflows.html
"""

import re
import shlex
from pathlib import Path

import yaml
from snakemake.cli import get_argument_parser

from modelferry.config.campaign import Campaign
from modelferry.config.file import parse_config
from snippets import in_text

ROOT = Path(__file__).resolve().parents[2]
CONFIG = (ROOT / "config/README.md").read_text()


def test_workflow_lies_where_the_catalog_looks_for_it() -> None:
    assert (ROOT / "workflow/Snakefile").is_file()
    assert {path.suffix for path in (ROOT / "workflow/rules").iterdir()} == {".smk"}
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme


def test_usage_has_flags_that_snakemake_knows() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    flags = shlex.split(usage["mandatory-flags"]["flags"])
    get_argument_parser().parse_args(flags)
    profile = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert {flag.removeprefix("--") for flag in flags if flag.startswith("--")} <= profile.keys()
    assert usage["software-stack-deployment"]["report"] is True


def test_page_of_the_config_shows_settings_that_there_are() -> None:
    (example,) = in_text(CONFIG, "config/README.md")
    parse_config(yaml.safe_load(example.code))
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]+) \|", CONFIG, re.MULTILINE)))
    assert len(named) >= 7
    assert set(named) <= Campaign.model_fields.keys()
    assert all((ROOT / "config" / link).is_file() for link in re.findall(r"\]\(([^)]+)\)", CONFIG))


def test_workflows_of_github_call_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+)(?: [\w-]+)*:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = []
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"].values()
        called += [step["run"].split() for job in jobs for step in job["steps"] if "run" in step]
    assert called
    assert all(program == "make" and target in targets for program, target in called)
