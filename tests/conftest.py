"""Settings of all tests. The sample modules that they share are in `tests/samples`, which pytest puts on the path."""

import os

from hypothesis import settings

# CI machines are slow and shared: no test may fail for its time.
settings.register_profile("modelferry", deadline=None)
settings.load_profile("modelferry")

# Small networks on many small tests: a second thread only gets in the way. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A config of the person who runs the tests must not reach them.
os.environ.pop("MODELFERRY_CONFIG", None)
