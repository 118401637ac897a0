"""Lets ``python -m modelferry`` stand for ``modelferry``."""

from modelferry.launcher import main

raise SystemExit(main())
