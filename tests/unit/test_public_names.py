"""What `modelferry` itself hands out: all of it is there, typed and documented, and importing it stays quick."""

from __future__ import annotations

import subprocess
import sys

import pytest

import modelferry


@pytest.mark.parametrize("name", sorted({*modelferry.__all__} - {"__version__"}))
def test_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(modelferry, name).__doc__
    assert name in dir(modelferry)


def test_names_that_own_classes_are_written_with_import_neither_torch_nor_pytest() -> None:
    code = (
        "import sys\n"
        "from modelferry import CheckedRunner, Contract, Dimension, EventSet, Family, Format, Runner, Runtime, Tensor\n"
        "assert not {'torch', 'pytest', 'onnx'} & {name.split('.')[0] for name in sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        modelferry.nonsense  # noqa: B018
