"""Settings of all tests. The sample modules that they share are in `tests/samples`, which pytest puts on the path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# CI machines are slow and shared: no test may fail for its time.
settings.register_profile("modelferry", deadline=None)
settings.load_profile("modelferry")

# Small networks on many small tests: a second thread only gets in the way. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Read when ONNX Runtime is imported, which some tests do before modelferry is.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# HTCondor's bindings, where `make test-htcondor` has installed them, warn at every start that there is no pool.
os.environ.setdefault("CONDOR_CONFIG", os.devnull)

# A config of the person who runs the tests must not reach them.
os.environ.pop("MODELFERRY_CONFIG", None)

TESTS = Path(__file__).parent
SLOW = {
    "cpp": "compiles the C++ library and AOTInductor packages",
    "docs": "executes the pages",
    "e2e": "runs the demo workflow from a clean copy",
    "workflow": "runs small workflows, and asks Snakemake what would run again",
    "unit/api/test_api_networks.py": "exports many networks to many formats",
    "unit/demo/test_demo_jets.py": "trains on toy jets",
    "unit/demo/test_demo_training.py": "trains demo networks",
    "unit/families/image_classifier/test_resnet_checkpoint.py": "exports a public checkpoint to all formats",
    "unit/families/lightning/test_lightning_checkpoint.py": "validates a public checkpoint",
    "unit/families/particle_transformer/test_particle_transformer_sheet.py": "evaluates networks of full size",
    "unit/families/particlenet/test_particlenet_sheet.py": "exports public checkpoints of full size",
    "unit/families/test_probes.py": "draws the probes of every family at every size",
    "unit/formats/codegen/test_codegen_conformance.py": "compiles generated code",
    "unit/formats/codegen/test_codegen_sheet.py": "exports a public checkpoint to all formats",
    "unit/formats/codegen/test_codegen_vectors.py": "compiles generated code",
    "unit/formats/shared/test_outputs_of_modules.py": "exports networks to all formats",
    "unit/formats/test_formats_aotinductor.py": "compiles",
    "unit/formats/test_formats_conformance.py": "compiles",
    "unit/formats/test_formats_fuzz.py": "calls all formats in processes of their own",
    "unit/formats/test_formats_on_families.py": "exports every family in every format with every option",
    "unit/formats/test_formats_quantized.py": "quantises networks and calibrates them",
    "unit/families/test_two_ragged_inputs.py": "exports, validates and times two ragged inputs in four formats",
    "unit/stages/validation/test_certification.py": "compiles and certifies templates in four formats",
    "unit/cli/test_server.py": "starts servers, and kills them in many ways",
    "unit/formats/test_formats_stock_loaders.py": "exports to all formats and opens them in other processes",
    "unit/runtimes/test_runtimes.py": "loads artifacts in every runtime",
    "unit/api/test_api_noise.py": "exports noisy networks to four formats",
    "unit/stages/comparison/test_compare.py": "exports networks as others do, and compares the files",
    "unit/stages/export/test_standalone.py": "exports and checks checkpoints without a config",
    "unit/stages/validation/test_approximations.py": "validates approximations",
    "unit/stages/validation/test_controls.py": "validates every control",
    "unit/stages/validation/test_planted_defects.py": "plants every defect in every format",
    "unit/stages/validation/test_seeds.py": "validates with fifty seeds",
    "unit/stages/validation/test_verdict_on_networks.py": "validates whole networks",
    "unit/test_written_files.py": "exports networks in processes of their own",
}
"""Files and folders that ``--fast`` leaves out, and what takes their time; the longest tests are in the first ones."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-fast`."""
    parser.addoption("--fast", action="store_true", help="leave out the slow files; the first lines say which")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a table that names what is not there."""
    if missing := [name for name in SLOW if not (TESTS / name).exists()]:
        raise pytest.UsageError(f"tests/conftest.py: SLOW names {missing}, which do not exist; remove or rename them")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is left out."""
    if not config.getoption("--fast"):
        return []
    lines = [f"  tests/{name}: {reason}" for name, reason in SLOW.items()]
    return ["left out by --fast; `make test` runs them:", *lines]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the slow files where that is asked for."""
    if config.getoption("--fast") and any(collection_path == TESTS / name for name in SLOW):
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files, so that no process is left with a long test while the other has nothing to do."""
    places = {TESTS / name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: min(places.get(path, len(SLOW)) for path in (item.path, *item.path.parents)))
