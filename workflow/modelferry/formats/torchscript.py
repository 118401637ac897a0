"""TorchScript: a traced or scripted module. Deprecated since PyTorch 2.9, and what most C++ analyses still load."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.contract import Arrays, Contract
from modelferry.errors import ArtifactError
from modelferry.formats import Format, Runner

if TYPE_CHECKING:
    import torch

CONTRACT_FILE = "contract.json"


class TorchScript(Format):
    """A ``torch.jit`` archive; the contract travels inside as the extra file `contract.json`."""

    name = "torchscript"
    extension = "pt"
    runtimes = ("pytorch",)
    packages = ("torch",)
    bitwise = True
    options = {"method": ("trace", "script")}

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Trace or script the deployable and save it with all weights zero."""
        import torch

        inputs = tuple(torch.from_numpy(example[tensor.name]) for tensor in contract.inputs)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("error", message=".*trace might not generalize.*")
            if options["method"] == "trace":
                module = torch.jit.trace(deployable.eval(), inputs, check_trace=False)
            else:
                module = torch.jit.script(deployable.eval())
            for tensor in module.state_dict().values():
                tensor.zero_()
            torch.jit.save(module, str(out), _extra_files={CONTRACT_FILE: contract.model_dump_json()})

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Copy the weights into the template's tensors, by name, and save."""
        import torch

        extra = {CONTRACT_FILE: ""}
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            module = torch.jit.load(str(template), map_location="cpu", _extra_files=extra)
            blanks = module.state_dict()
            if blanks.keys() != weights.keys():
                differ = sorted(blanks.keys() ^ weights.keys())
                raise ArtifactError(f"{template} and the weights differ in {differ[:5]}", "build the template anew")
            for name, blank in blanks.items():
                if blank.shape != weights[name].shape or blank.dtype != weights[name].dtype:
                    raise ArtifactError(f"{template}: '{name}' is {tuple(blank.shape)}", "build the template anew")
                blank.copy_(weights[name])
            torch.jit.save(module, str(out), _extra_files={**extra, **metadata})

    def load(self, path: Path, threads: int) -> Runner:
        """Load with ``torch.jit.load``; outputs are named as the contract inside the archive says."""
        import torch

        torch.set_num_threads(threads)
        extra = {CONTRACT_FILE: ""}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=DeprecationWarning)
                module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra).eval()
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(
                f"{path} is no TorchScript archive: {str(error).splitlines()[0]}", "export it again"
            ) from error
        contract = Contract.model_validate_json(extra[CONTRACT_FILE])
        names = [tensor.name for tensor in contract.inputs]

        def run(inputs: Arrays) -> Arrays:
            with torch.inference_mode():
                result = module(*(torch.from_numpy(inputs[name]) for name in names))
            values = result if isinstance(result, tuple) else (result,)
            return {tensor.name: np.asarray(value) for tensor, value in zip(contract.outputs, values, strict=True)}

        return run


FORMAT = TorchScript()
