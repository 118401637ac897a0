"""Tests on a real cluster of one machine: `make test-slurm` and `make test-htcondor` set it up, and take it down."""

import os

collect_ignore_glob = [] if os.environ.get("MODELFERRY_TEST_CLUSTER") else ["test_*.py"]
