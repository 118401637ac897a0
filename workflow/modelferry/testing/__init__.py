"""Conformance suites for own families, formats and runtimes: inherit one in a test module, and run pytest.

    from modelferry.testing import FormatConformance

    class TestMyFormat(FormatConformance):
        format = "my_formats:MyFormat"

pytest is needed here only: ``pip install pytest``.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("families", "formats", "runtimes")))

from modelferry.testing.families import FamilyConformance  # noqa: E402 - after the rewrite is asked for
from modelferry.testing.formats import FormatConformance  # noqa: E402
from modelferry.testing.runtimes import RuntimeConformance  # noqa: E402
from modelferry.testing.sample_network import Sample  # noqa: E402

__all__ = ["FamilyConformance", "FormatConformance", "RuntimeConformance", "Sample"]
