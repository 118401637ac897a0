#!/usr/bin/env bash
# Snakemake runs this in the folder of the workflow, with the new environment active: what `make setup` installs.
set -euo pipefail
python -m pip install --constraint envs/constraints.txt torch --editable '.[workflow,cpp,lightning]'
