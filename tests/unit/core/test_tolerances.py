"""One table of tolerances, which a campaign may overrule for all formats or for one."""

from typing import get_args

import pytest
from pydantic import ValidationError

from modelferry.config.sections import Validation
from modelferry.core.contract import DType
from modelferry.core.tolerances import TABLE, Tolerance, tolerance_of
from modelferry.formats import format_names


def test_every_format_has_a_tolerance_for_every_type() -> None:
    for name in format_names():
        for dtype in get_args(DType):
            assert tolerance_of(name, dtype).rtol >= 0


def test_row_of_a_format_goes_before_the_one_for_any(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Tolerance(rtol=0.5, atol=0.25)
    monkeypatch.setitem(TABLE, ("onnx", "float32"), own)
    assert tolerance_of("onnx", "float32") == own
    assert tolerance_of("torchscript", "float32") == Tolerance(rtol=1e-5, atol=1e-6)


def test_config_overrules_the_table_and_a_format_of_its_own_the_rest() -> None:
    settings = Validation.model_validate({"rtol": 1e-3, "tolerances": {"onnx": {"rtol": 1e-2}}})
    assert settings.tolerance("onnx", "float32") == Tolerance(rtol=1e-2, atol=1e-6)
    assert settings.tolerance("torchscript", "float32") == Tolerance(rtol=1e-3, atol=1e-6)
    assert Validation().tolerance("onnx", "float32") == tolerance_of("onnx", "float32")


def test_tolerance_of_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValidationError, match="did you mean 'onnx'"):
        Validation.model_validate({"tolerances": {"onx": {"rtol": 1}}})
