"""CMSSW: ONNX files as its ONNX Runtime producers read them, and PyTorch files as its PyTorch packages do.

Sources: ``cms-sw/cmssw``, ``PhysicsTools/ONNXRuntime``, ``RecoBTag/FeatureTools/src/deep_helpers.cc``. Every input is a
flat array of float32, found by its name; output 0 is stored as the scores. `docs/destinations.md` says more.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from modelferry.comparison.scores import give_scores
from modelferry.core.contract import Contract, Preparation, PreparedInput, Variable
from modelferry.core.errors import ArtifactError, ConfigError
from modelferry.core.reading import read_json
from modelferry.formats import Runner
from modelferry.formats.destinations import Delivery, Destination
from modelferry.formats.onnx import Onnx
from modelferry.formats.shared.float_inputs import as_floats, take_floats

if TYPE_CHECKING:
    import torch

    from modelferry.core.contract import Arrays

UNBOUNDED = 1e32
"""What CMSSW takes for infinite."""

DESTINATION = Destination(
    name="cmssw",
    summary="CMSSW: ONNX that takes float32 and gives scores, with preprocess.json; or PyTorch files",
    deliveries={
        "onnx": Delivery(name="cmssw", format=f"{__name__}:ForCmssw"),
        "torchscript": Delivery(name="cmssw-torchscript", format="torchscript"),
        "torch_export": Delivery(name="cmssw-torch_export", format="torch_export"),
        "aotinductor": Delivery(name="cmssw-aotinductor", format="aotinductor"),
    },
)


class ForCmssw(Onnx):
    """An ONNX file and `preprocess.json`, executed in the version of ONNX Runtime that releases of CMSSW have too.

    What is not 0 or 1 in the place of a truth value, or no whole number in that of an integer, gives scores that are
    NaN: CMSSW asks nobody.
    """

    name = "cmssw"
    destination = "CMSSW"
    companions = ("preprocess.json",)
    runtimes = ("onnxruntime", "onnxruntime@1.17.1")

    def contract(self, own: Contract) -> Contract:
        """Return the contract with inputs of float32, and scores as the first output."""
        if own.preparation is not None:
            check(own.preparation)
        taken = as_floats(own, self.name).with_scores()
        return taken.model_copy(update={"destination": self.destination})

    def delivered(self, network: torch.nn.Module, own: Contract) -> torch.nn.Module:
        """Let a network take float32 and give scores."""
        scoring = network if own.scores == "nothing" else give_scores(network, own.scores)
        return take_floats(scoring, own)

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Write `preprocess.json` beside the ONNX file."""
        super().build_template(deployable, contract, example, options, out)
        self.files(out)[1].write_text(json.dumps(preprocess(contract), indent=2) + "\n")

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Fill the ONNX file; how inputs are prepared depends on no weights."""
        super().fill(template, weights, metadata, out)
        shutil.copyfile(self.files(template)[1], self.files(out)[1])

    def load(self, path: Path, threads: int) -> Runner:
        """Load the ONNX file; what is beside it must prepare what it takes."""
        run, beside = super().load(path, threads), self.files(path)[1]
        if read_json(beside, ArtifactError) != json.loads(json.dumps(preprocess(run.contract))):
            raise ArtifactError(f"{beside} does not prepare what {path.name} takes", "export it again")
        return run

    def export(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refuse: what comes out is no output of the network, and is compared in campaigns only."""
        raise ConfigError("an artifact for CMSSW is made in a campaign", "write destinations: [cmssw] in config.yaml")


def preprocess(contract: Contract) -> dict[str, Any]:
    """Return what CMSSW reads of `preprocess.json`, as weaver writes it.

    Without a data card it names inputs and outputs only; CMSSW's own preparation refuses to work with that.
    """
    prepared = contract.preparation
    if prepared is None:
        names = {"input_names": [tensor.name for tensor in contract.inputs]}
        return {"output_names": [*contract.outputs[0].features], **names}
    groups = {name: _group(given) for name, given in prepared.inputs.items()}
    return {"output_names": [*prepared.labels], "input_names": [*prepared.inputs], **groups}


def _group(given: PreparedInput) -> dict[str, Any]:
    return {
        "var_names": [variable.name for variable in given.variables],
        "var_length": given.length,
        "var_infos": {variable.name: _info(variable) for variable in given.variables},
    }


def _info(variable: Variable) -> dict[str, float]:
    low, high = bounds(variable)
    return {
        "median": 0 if variable.subtract is None else variable.subtract,
        "norm_factor": variable.multiply,
        "replace_inf_value": 0,
        "lower_bound": low,
        "upper_bound": high,
        "pad": variable.pad,
    }


def bounds(variable: Variable) -> tuple[float, float]:
    """Return what a variable is clipped to; nothing is clipped that is not standardised."""
    return (-UNBOUNDED, UNBOUNDED) if variable.subtract is None else (variable.low, variable.high)


def check(prepared: Preparation) -> None:
    """Raise `ConfigError` for a data card that `preprocess.json` cannot express."""
    if prepared.order_by:
        reason = f"CMSSW takes particles as they come, and the data card orders them by {prepared.order_by}"
        raise ConfigError(reason, "let the producer order them, and leave order_by out of the card")
    for name, given in prepared.inputs.items():
        reason, remedy = _reason(name, given, prepared.mask)
        if reason:
            raise ConfigError(f"CMSSW cannot prepare input {name} of the data card: {reason}", remedy)


def _reason(name: str, given: PreparedInput, mask: str) -> tuple[str, str]:
    """Return why an input cannot be expressed, and the remedy."""
    if given.length is None:
        return "it has no length", "give it the number of particles that the network was trained with"
    if given.padding != "constant" and (not mask or name == mask):
        return f"it is padded by {given.padding}, and CMSSW pads with a number", "train with pad_mode: constant"
    if twice := [one for one, count in Counter(variable.name for variable in given.variables).items() if count > 1]:
        return f"variable {twice[0]} is in it twice", "name each variable of an input once"
    for variable in given.variables:
        low, high = bounds(variable)
        if not low <= variable.pad <= high:
            limits = f"{variable.name} is padded with {variable.pad:g}, outside its bounds {low:g} and {high:g}"
            return f"{limits}, where CMSSW aborts", "train with a pad value between the bounds"
    return "", ""
