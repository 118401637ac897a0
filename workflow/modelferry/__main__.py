"""Lets ``python -m modelferry`` stand for ``modelferry``."""

from modelferry.cli import main

raise SystemExit(main())
