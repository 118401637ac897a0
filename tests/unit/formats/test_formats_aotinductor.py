from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch._inductor.cpu_vec_isa

from modelferry.core import environment
from modelferry.core.errors import ArtifactError
from modelferry.formats import aotinductor, load_format
from modelferry.formats.shared.pt2_archive import WEIGHTS, Kind, read_archive, write_archive
from modelferry.formats.shared.weight_offsets import WeightOffsets, find_offsets
from modelferry.formats.shared.weight_slots import WeightSlots, raw_bytes
from modelferry.testing.sample_network import CONTRACT, Awkward, event_inputs, random_weights

AOTINDUCTOR = load_format("aotinductor")
TORCH_EXPORT = load_format("torch_export")


@pytest.fixture(scope="module")
def package(template_of, tmp_path_factory):
    out = tmp_path_factory.mktemp("aotinductor") / "model.aoti.pt2"
    AOTINDUCTOR.fill(template_of("aotinductor"), random_weights(1), {}, out)
    return out


@pytest.fixture
def no_loading(monkeypatch):
    def fail(*arguments):
        raise AssertionError("the package was loaded")

    monkeypatch.setattr(torch._C._aoti, "AOTIModelPackageLoader", fail)


def with_target(package, folder, **changes):
    entries = read_archive(package, Kind.PACKAGE)
    target = {**json.loads(entries[aotinductor.TARGET]), **changes}
    changed = folder / "changed.aoti.pt2"
    write_archive({**entries, aotinductor.TARGET: json.dumps(target).encode()}, changed)
    return changed


@pytest.mark.usefixtures("no_loading")
def test_package_for_instructions_that_this_cpu_lacks_is_refused_unloaded(package, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_cpu_flags", lambda: frozenset({"sse2"}))
    with pytest.raises(ArtifactError, match=r"compiled for avx512, and this CPU has "):
        AOTINDUCTOR.load(with_target(package, tmp_path, isa="avx512"), threads=1)


@pytest.mark.usefixtures("no_loading")
def test_package_for_another_architecture_is_refused_unloaded(package, tmp_path):
    with pytest.raises(ArtifactError, match="compiled for riscv128"):
        AOTINDUCTOR.load(with_target(package, tmp_path, isa="riscv128"), threads=1)


@pytest.mark.usefixtures("no_loading")
def test_package_of_another_pytorch_is_refused_unloaded(package, tmp_path):
    with pytest.raises(ArtifactError, match=r"compiled with PyTorch 2\.1\.0, and this is"):
        AOTINDUCTOR.load(with_target(package, tmp_path, torch="2.1.0"), threads=1)


def test_no_program_is_started_to_load_a_package(package, monkeypatch):
    def started(*arguments, **options):
        raise AssertionError("a program was started")

    torch._inductor.cpu_vec_isa.valid_vec_isa_list.cache_clear()
    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(subprocess, "run", started)
    monkeypatch.setattr(torch._inductor.cpu_vec_isa.VecISA, "check_build", started)
    run = AOTINDUCTOR.load(package, threads=1)
    assert set(run(event_inputs(2, 2))) == {tensor.name for tensor in CONTRACT.outputs}


def test_narrower_instructions_are_accepted(monkeypatch):
    monkeypatch.setattr(environment, "_cpu_flags", lambda: environment.ISAS["avx512_vnni"])
    assert [isa for isa in (*environment.ISAS, "s390x") if environment.runs(isa)] == ["avx512_vnni", "avx512", "avx2"]
    assert environment.isa() == "avx512_vnni"


def test_missing_compiler_is_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    options = AOTINDUCTOR.resolve_options({})
    with pytest.raises(ArtifactError, match=r"apt install g\+\+") as caught:
        AOTINDUCTOR.build_template(Awkward(), CONTRACT, event_inputs(2, 2), options, tmp_path / "template")
    assert "\n" not in str(caught.value)


def test_filling_needs_no_compiler(template_of, tmp_path, monkeypatch):
    template = template_of("aotinductor")
    monkeypatch.setenv("PATH", str(tmp_path))
    AOTINDUCTOR.fill(template, random_weights(2), {}, tmp_path / "model.aoti.pt2")


def test_small_weights_lie_in_the_weight_file_like_all_others(package):
    entries = read_archive(package, Kind.PACKAGE)
    blob = next(data for name, data in entries.items() if name.endswith("_weights.blob"))
    names = WeightSlots.model_validate_json(entries[WEIGHTS]).read
    expected = {name: raw_bytes(random_weights(1)[name]) for name in names}
    assert set(names) == {name for name in random_weights(1) if not name.endswith("num_batches_tracked")}
    offsets = WeightOffsets.load(entries[aotinductor.OFFSETS])
    assert offsets.read({name: len(value) for name, value in expected.items()}, blob) == expected


def test_matrix_products_are_compiled_but_for_the_one_along_edges_that_may_be_none(package):
    entries = read_archive(package, Kind.PACKAGE)
    kernels = next(data for name, data in entries.items() if name.endswith(".kernel.cpp")).decode()
    wrapper = next(data for name, data in entries.items() if name.endswith(".wrapper.cpp")).decode()
    assert "micro_gemm" in kernels
    assert wrapper.count("(aoti_torch_cpu_addmm_out(") == 1


def test_contract_is_in_the_metadata_that_cpp_reads(package):
    loader = torch._C._aoti.AOTIModelPackageLoader(str(package), "model", False, 1, -1)
    assert json.loads(loader.get_metadata()["contract"]) == json.loads(CONTRACT.model_dump_json())


def test_exported_program_is_told_apart_from_a_package(package, template_of, tmp_path):
    program = template_of("torch_export")
    with pytest.raises(ArtifactError, match=r"is an exported program, not an AOTInductor package; .*'torch_export'"):
        AOTINDUCTOR.load(program, threads=1)
    with pytest.raises(ArtifactError, match=r"is an AOTInductor package, not an exported program; .*'aotinductor'"):
        TORCH_EXPORT.load(package, threads=1)
    with pytest.raises(ArtifactError, match="is an exported program"):
        AOTINDUCTOR.fill(program, random_weights(1), {}, tmp_path / "out")


def compiled(*constants: tuple[str, bytes]) -> dict[str, bytes]:
    """Return the entries of a package as the compiler would write them."""
    padded = [(name, value, -(-len(value) // 64) * 64) for name, value in constants]
    lines = [
        f'constants_info_[{number}].data_size = {size};\nconstants_info_[{number}].original_fqn = "{name}";'
        for number, (name, _, size) in enumerate(padded)
    ]
    return {
        f"{Kind.PACKAGE.value}model/x.wrapper.cpp": "\n".join(lines).encode(),
        f"{Kind.PACKAGE.value}model/x_weights.blob": b"".join(value.ljust(size, b"\0") for _, value, size in padded),
    }


@pytest.fixture
def program():
    state_dict = {"a": torch.arange(1.0, 20.0), "b": torch.tensor([33.0]), "steps": torch.tensor(7)}
    return SimpleNamespace(state_dict=state_dict, constants={"signs": torch.ones(2)})


@pytest.fixture
def slots(program):
    return WeightSlots.of(program.state_dict, read={"a", "b"})


def found_in(entries, program, slots):
    blob = next(data for name, data in entries.items() if name.endswith("_weights.blob"))
    weights = {name: program.state_dict[name] for name in slots.read}
    return find_offsets(blob, aotinductor._constants(entries, program, slots), weights)


def test_constants_of_the_architecture_are_kept(program, slots):
    a, b = (raw_bytes(program.state_dict[name]) for name in "ab")
    entries = compiled(("signs", raw_bytes(program.constants["signs"])), ("a", a), ("b", b))
    blob = next(data for name, data in entries.items() if name.endswith("_weights.blob"))
    filled = found_in(entries, program, slots).fill({"a": torch.zeros(19), "b": torch.tensor([5.0])}, blob)
    assert np.flatnonzero(np.frombuffer(filled, np.float32)).tolist() == [0, 1, 48]
    assert np.frombuffer(filled, np.float32)[[0, 48]].tolist() == [1.0, 5.0]


@pytest.mark.parametrize("spoil", ["folded", "merged", "scaled", "reordered", "counter"])
def test_weight_that_the_compiler_changed_is_refused(program, slots, spoil):
    a, b = (raw_bytes(program.state_dict[name]) for name in "ab")
    constants = {
        "folded": [("a", a)],
        "merged": [("a", a), ("a", a)],
        "scaled": [("a", a), ("b", b), ("constant2", raw_bytes(1.5 * program.state_dict["a"]))],
        "reordered": [("a", a[4:] + a[:4]), ("b", b)],
        "counter": [("a", a), ("b", b), ("steps", raw_bytes(program.state_dict["steps"]))],
    }
    with pytest.raises(ArtifactError, match="the compiler"):
        found_in(compiled(*constants[spoil]), program, slots)


def test_pytorch_in_a_folder_with_blanks_is_said_to_be_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(origin="/home/me/my analysis/.venv/lib/torch/__init__.py")
    assert aotinductor.FORMAT.unavailable() == ""
    monkeypatch.setattr(aotinductor, "find_spec", lambda name: spec)
    assert (
        "/home/me/my analysis/.venv/lib/torch/__init__.py, since its path has blanks"
        in aotinductor.FORMAT.unavailable()
    )
