"""Model repositories for Triton: their configuration says what the contract says, and they hold what was validated."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.core.errors import ArtifactError
from modelferry.families import load_family
from modelferry.formats import Format, load_format
from modelferry.formats.destinations.triton import NOT_SERVED, read_repository, write_repository
from modelferry.testing.sample_network import AWKWARD

TRITON = "modelferry.formats.destinations.triton"
ONNX, TORCHSCRIPT = (load_format(f"{TRITON}:{name}Repository") for name in ("Onnx", "TorchScript"))
HIGGS = load_family("charged_higgs_particlenet")
CONFIG = """\
backend: "onnxruntime"
max_batch_size: 256
input {
  name: "x"
  data_type: TYPE_FP32
  dims: [-1, 9]
}
input {
  name: "mask"
  data_type: TYPE_BOOL
  dims: [-1]
}
input {
  name: "graph_input"
  data_type: TYPE_FP32
  dims: [4]
}
output {
  name: "logits"
  data_type: TYPE_FP32
  dims: [4]
  label_filename: "labels.txt"
}
instance_group {
  count: 1
  kind: KIND_CPU
}
"""


def test_configuration_is_that_of_the_contract() -> None:
    assert ONNX.config(HIGGS.contract({"hidden": 8}, "dense")) == CONFIG


def test_without_a_common_first_axis_the_server_batches_nothing_and_sizes_are_whole() -> None:
    text = ONNX.config(HIGGS.contract({"hidden": 8}, "flat"))
    assert "max_batch_size: 0" in text
    assert 'name: "edge_index"\n  data_type: TYPE_INT64\n  dims: [2, -1]' in text
    assert 'name: "logits"\n  data_type: TYPE_FP32\n  dims: [-1, 4]' in text


def test_pytorch_knows_tensors_by_position() -> None:
    text = TORCHSCRIPT.config(HIGGS.contract({"hidden": 8}, "dense"))
    assert 'backend: "pytorch"' in text
    assert all(f'name: "{name}"' in text for name in ("x__0", "mask__1", "graph_input__2", "logits__0"))


@pytest.mark.parametrize("target", [ONNX, TORCHSCRIPT], ids=lambda target: target.name)
@pytest.mark.parametrize("layout", ["dense", "flat"])
def test_the_message_classes_of_the_client_read_it(target: Format, layout: str) -> None:
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="pip install 'tritonclient[grpc]'")
    from google.protobuf import text_format

    contract = HIGGS.contract({"hidden": 8}, layout)
    found = text_format.Parse(target.config(contract), messages.ModelConfig())
    assert [tuple(tensor.dims)[-1] for tensor in found.output] == [4]
    assert len(found.input) == len(contract.inputs)
    assert found.output[0].label_filename == "labels.txt"
    assert found.backend == target.backend
    assert found.instance_group[0].kind == messages.ModelInstanceGroup.KIND_CPU
    kinds = {tensor.name: found.input[i].data_type for i, tensor in enumerate(contract.inputs)}
    assert kinds["x"] == messages.TYPE_FP32
    assert kinds.get("mask", messages.TYPE_BOOL) == messages.TYPE_BOOL


def test_repository_holds_the_artifact_under_the_models_name_and_loads(tmp_path: Path) -> None:
    contract = TORCHSCRIPT.contract(AWKWARD.contract)
    template, out = tmp_path / "template.pt", tmp_path / "model.pt"
    options = TORCHSCRIPT.resolve_options({})
    TORCHSCRIPT.build_template(AWKWARD.network().eval(), contract, AWKWARD.example, options, template)
    TORCHSCRIPT.fill(template, AWKWARD.weights(1), {"model": "higgs/Run3Mu/fold-3"}, out)
    with tarfile.open(TORCHSCRIPT.files(out)[1]) as archive:
        names = archive.getnames()
        inside = archive.extractfile("higgs_Run3Mu_fold-3/1/model.pt")
        assert inside is not None
        assert inside.read() == out.read_bytes()
    assert names[0] == "higgs_Run3Mu_fold-3/config.pbtxt"
    assert names[-1] == "higgs_Run3Mu_fold-3/1/model.pt"
    run = TORCHSCRIPT.load(out, 1)
    assert run.contract == contract
    assert NOT_SERVED in run.contract.notes
    for name, values in run(AWKWARD.example).items():
        assert np.array_equal(values, AWKWARD.eager(AWKWARD.weights(1), AWKWARD.example)[name])
    again = tmp_path / "again.pt"
    TORCHSCRIPT.fill(template, AWKWARD.weights(1), {"model": "higgs/Run3Mu/fold-3"}, again)
    assert TORCHSCRIPT.files(again)[1].read_bytes() == TORCHSCRIPT.files(out)[1].read_bytes()
    TORCHSCRIPT.fill(template, AWKWARD.weights(2), {"model": "higgs/Run3Mu/fold-3"}, again)
    TORCHSCRIPT.files(again)[1].replace(TORCHSCRIPT.files(out)[1])
    with pytest.raises(ArtifactError, match=r"holds another model than model\.pt"):
        TORCHSCRIPT.load(out, 1)


def test_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.repository.tar"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(ArtifactError, match="is no model repository"):
        read_repository(path)


def test_links_in_a_repository_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "model.repository.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("model/1/model.pt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("model/labels.txt"), io.BytesIO())
    assert read_repository(path) == {"labels.txt": b""}


def test_names_with_quotes_are_quoted(tmp_path: Path) -> None:
    rows = Dimension(name="rows", minimum=1, typical=2, maximum=4)
    tensor = Tensor(name='a "b"', dtype="float32", shape=("rows", 3))
    contract = Contract(layout="own", inputs=(tensor,), outputs=(tensor,), dimensions=(rows,))
    assert r'name: "a \"b\""' in ONNX.config(contract)
    write_repository(tmp_path / "a.tar", "a", {"config.pbtxt": "x"}, b"1", "onnx")
    assert read_repository(tmp_path / "a.tar") == {"config.pbtxt": b"x", "1/model.onnx": b"1"}
