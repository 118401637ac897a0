"""What ships opens in the loaders that people have without modelferry, and computes there what was validated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from string import Template

import numpy as np
import pytest
import torch

from modelferry.formats import format_names, load_format
from modelferry.testing.sample_network import AWKWARD, CONTRACT, random_weights

PACKAGES = Path(torch.__file__).parent.parent
STOCK = [name for name in format_names() if {"pytorch", "onnxruntime"} & set(load_format(name).runtimes)]
"""Formats with a loader of PyTorch or ONNX Runtime in Python."""
SCRIPT = f"""\
import sys
sys.path.append({str(PACKAGES)!r})
try:
    import modelferry
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("modelferry can be imported here")
import numpy
import torch

torch.set_num_threads(1)
given = numpy.load("inputs.npz")
returned = {{}}
for call in range(int(given["calls"])):
    $feed
    exec(compile(open("snippet.py").read(), "snippet.py", "exec"))
    returned[str(call)] = logits.numpy()
numpy.savez("returned.npz", **returned)
"""
FEED = "; ".join(f'{t.name} = torch.from_numpy(given[f"{{call}}.{t.name}"])' for t in CONTRACT.inputs)


@pytest.mark.parametrize("name", STOCK)
def test_shipped_file_gives_the_validated_outputs_without_modelferry(name: str, template_of, tmp_path: Path) -> None:
    """The code is that which the report shows."""
    target = load_format(name)
    path = tmp_path / f"model.{target.extension}"
    target.fill(template_of(name), random_weights(1), {"model": "a"}, path)
    run = target.load(path, threads=1)
    calls = [inputs for inputs in AWKWARD.calls.values() if target.exactness == "exact"] or [AWKWARD.example]
    validated = [run(inputs)["logits"] for inputs in calls]
    given = {f"{call}.{name}": array for call, inputs in enumerate(calls) for name, array in inputs.items()}
    np.savez(tmp_path / "inputs.npz", calls=len(calls), **given)
    names = {"arguments": ", ".join(tensor.name for tensor in CONTRACT.inputs), "outputs": "logits"}
    snippet = Template(target.snippets["Python"]).substitute(names, path=path.name, inputs="", scores="")
    (tmp_path / "snippet.py").write_text(snippet)
    script = Template(SCRIPT).substitute(feed=FEED)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "outdated" not in done.stderr
    with np.load(tmp_path / "returned.npz") as returned:
        for call, values in enumerate(validated):
            np.testing.assert_array_equal(returned[str(call)], values)
