"""Programs are read by PyTorch's own loader, faster, and nothing is left of what was changed for it."""

from pathlib import Path

import pytest
import torch
import torch._export.serde.serialize as reader
from sympy.parsing import sympy_parser

from modelferry.formats.shared.program_reader import program_read


class Halves(torch.nn.Module):
    """Sizes that are expressions, and several operations."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.cat([x, x, x[:1]])
        return y.reshape(-1).relu(), torch.maximum(y[x.shape[0] :], x.sum() * y[1, 0])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    sizes = {"x": {0: torch.export.Dim("events", min=2, max=100), 1: torch.export.Dim("inputs", min=2, max=9)}}
    torch.export.save(torch.export.export(Halves(), (torch.ones(8, 4),), dynamic_shapes=sizes), path)
    return path


def test_the_program_is_the_one_that_torch_reads(file: Path) -> None:
    expected = torch.export.load(file)
    with program_read(file) as program:
        assert str(program.graph) == str(expected.graph)
        assert str(program.range_constraints) == str(expected.range_constraints)
        for ours, theirs in zip(program.graph.nodes, expected.graph.nodes, strict=True):
            assert str(ours.meta.get("val")) == str(theirs.meta.get("val"))
        x = torch.randn(6, 3)
        for ours, theirs in zip(program.module()(x), Halves()(x), strict=True):
            assert torch.equal(ours, theirs)


def test_nothing_is_left_of_what_was_changed(file: Path, tmp_path: Path) -> None:
    before = reader.typing, sympy_parser.parse_expr
    damaged = tmp_path / "damaged.pt2"
    damaged.write_bytes(file.read_bytes()[:3000])
    with program_read(file):
        assert (reader.typing, sympy_parser.parse_expr) == before
    with pytest.raises(Exception), program_read(damaged):  # noqa: B017, PT011 - whatever torch says
        pytest.fail("a damaged program was read")
    assert (reader.typing, sympy_parser.parse_expr) == before
