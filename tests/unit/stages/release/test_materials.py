"""The list of packages that a release was made with."""

import json
from importlib.metadata import version

from modelferry.stages.release.materials import bill_of_materials, needed


def test_the_list_names_each_package_once_with_version_and_licence() -> None:
    bill = json.loads(bill_of_materials())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "modelferry"
    components = {component["name"]: component for component in bill["components"]}
    assert len(components) == len(bill["components"])
    for name in ("torch", "numpy", "onnxruntime", "sympy", "snakemake"):  # sympy only since torch needs it
        assert components[name]["version"] == version(name)
        assert components[name]["purl"] == f"pkg:pypi/{name}@{version(name).replace('+', '%2B')}"
    assert not {"modelferry", "pytest", "ruff"} & components.keys()
    without = [name for name, component in components.items() if not component.get("licenses")]
    assert len(without) < len(components) / 10, f"no licence is known of {without}"
    assert bill_of_materials() == bill_of_materials()


def test_extras_and_markers_are_followed() -> None:
    names = [found.name.lower() for found in needed("modelferry", ["dev"])]
    assert names[0] == "modelferry"
    assert {"pytest", "iniconfig", "torch"} <= {*names}  # pytest needs iniconfig
    assert "colorama" not in names  # pytest needs it on Windows
    assert "snakemake" not in [found.name for found in needed("modelferry")]
