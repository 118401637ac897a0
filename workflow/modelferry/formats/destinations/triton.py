"""Triton: a model repository of one model, as an archive beside the artifact that is in it.

Sources: `model_config.proto` of ``triton-inference-server/common``, ``fastmachinelearning/sonic-models``. There is
no server here: what the repository holds is validated, and that the server takes it is not.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelferry.core.contract import Contract, Tensor
from modelferry.core.errors import ArtifactError
from modelferry.formats import Format, Runner
from modelferry.formats.destinations import Delivery, Destination
from modelferry.formats.onnx import Onnx
from modelferry.formats.torchscript import TorchScript

if TYPE_CHECKING:
    import torch

    from modelferry.core.contract import Arrays

CONFIG, LABELS, VERSION = "config.pbtxt", "labels.txt", "1"
TYPES = {
    "float64": "TYPE_FP64", "float32": "TYPE_FP32", "bfloat16": "TYPE_BF16", "int64": "TYPE_INT64",
    "int32": "TYPE_INT32", "uint8": "TYPE_UINT8", "bool": "TYPE_BOOL",
}  # fmt: skip
NOT_SERVED = "made for a Triton server, and not served here: the artifact was validated, and its repository only read"

DESTINATION = Destination(
    name="triton",
    summary="a Triton server: a model repository with config.pbtxt, a version folder and labels",
    deliveries={
        "onnx": Delivery(name="triton", format=f"{__name__}:OnnxRepository"),
        "torchscript": Delivery(name="triton-torchscript", format=f"{__name__}:TorchScriptRepository"),
    },
)


class Repository(Format):
    """A format whose artifacts have a repository beside them: ``MODEL/config.pbtxt``, ``MODEL/1/model.…``, labels."""

    backend: ClassVar[str]
    destination = "Triton"
    companions = ("repository.tar",)

    def contract(self, own: Contract) -> Contract:
        """Return the network's own contract, which says that nothing was served."""
        return own.model_copy(update={"destination": self.destination, "notes": (*own.notes, NOT_SERVED)})

    def tensor_name(self, tensor: Tensor, index: int) -> str:
        """Return what the backend calls an input or output."""
        return tensor.name

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Write the repository of a template too: fillings take its texts."""
        super().build_template(deployable, contract, example, options, out)  # type: ignore[safe-super]
        texts = {CONFIG: self.config(contract)}
        if contract.classes:
            texts[LABELS] = "".join(f"{name}\n" for name in contract.classes)
        write_repository(self.files(out)[1], "template", texts, out.read_bytes(), self.extension)

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Fill the artifact, and put it into a repository that is called after the model."""
        super().fill(template, weights, metadata, out)  # type: ignore[safe-super]
        entries = read_repository(self.files(template)[1])
        texts = {name: entries[name].decode() for name in (CONFIG, LABELS) if name in entries}
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", metadata.get("model", "model"))
        write_repository(self.files(out)[1], name, texts, out.read_bytes(), self.extension)

    def load(self, path: Path, threads: int) -> Runner:
        """Load the artifact; the repository must hold the same one."""
        beside = self.files(path)[1]
        if read_repository(beside).get(self.inside) != path.read_bytes():
            raise ArtifactError(f"{beside} holds another model than {path.name}", "export it again")
        run: Runner = super().load(path, threads)  # type: ignore[safe-super]
        return run

    @property
    def inside(self) -> str:
        """The path of the artifact in the folder of the model."""
        return f"{VERSION}/model.{self.extension}"

    def config(self, contract: Contract) -> str:
        """Return the text of `config.pbtxt`; its name is that of the folder, wherever it is put."""
        batch = contract.outputs[0].shape[0]
        batched = isinstance(batch, str) and all(t.shape[0] == batch for t in (*contract.inputs, *contract.outputs))
        largest = contract.dimension(str(batch)).maximum if batched else 0
        skipped = 1 if batched else 0
        inputs = [_tensor("input", self.tensor_name(t, i), t, skipped) for i, t in enumerate(contract.inputs)]
        labels = f"\n  label_filename: {_quoted(LABELS)}" if contract.classes else ""
        outputs = [
            _tensor("output", self.tensor_name(t, i), t, skipped, "" if i else labels)
            for i, t in enumerate(contract.outputs)
        ]
        head = f"backend: {_quoted(self.backend)}\nmax_batch_size: {largest}\n"
        return head + "".join([*inputs, *outputs]) + "instance_group {\n  count: 1\n  kind: KIND_CPU\n}\n"


class OnnxRepository(Repository, Onnx):
    """An ONNX file, for the backend that runs ONNX Runtime."""

    name = "triton_onnx"
    backend = "onnxruntime"


class TorchScriptRepository(Repository, TorchScript):
    """A TorchScript archive, for the backend that runs PyTorch, which knows inputs and outputs by their position."""

    name = "triton_torchscript"
    backend = "pytorch"
    runtimes = ("pytorch",)

    def tensor_name(self, tensor: Tensor, index: int) -> str:
        """Return the name with the position."""
        return f"{tensor.name}__{index}"


def _tensor(kind: str, name: str, tensor: Tensor, skipped: int, further: str = "") -> str:
    dims = ", ".join(str(size) if isinstance(size, int) else "-1" for size in tensor.shape[skipped:])
    return f"{kind} {{\n  name: {_quoted(name)}\n  data_type: {TYPES[tensor.dtype]}\n  dims: [{dims}]{further}\n}}\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def write_repository(path: Path, model: str, texts: Mapping[str, str], artifact: bytes, extension: str) -> None:
    """Write a repository of one model as an archive; equal content gives equal bytes."""
    entries = {**{name: text.encode() for name, text in texts.items()}, f"{VERSION}/model.{extension}": artifact}
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(f"{model}/{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))


def read_repository(path: Path) -> dict[str, bytes]:
    """Return the files of the one model of a repository, by their path in its folder; nothing is unpacked.

    Raises
    ------
    ArtifactError
        If the file is no such archive.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            return dict(_entries(archive))
    except (OSError, tarfile.TarError) as error:
        raise ArtifactError(f"{path} is no model repository: {error}", "export it again") from error


def _entries(archive: tarfile.TarFile) -> Iterable[tuple[str, bytes]]:
    for entry in archive:
        if entry.isreg() and (content := archive.extractfile(entry)) is not None:
            yield entry.name.partition("/")[2], content.read()
