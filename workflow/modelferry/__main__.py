"""Lets ``python -m modelferry`` stand for ``modelferry``."""

from modelferry.cli.main import main

raise SystemExit(main())
