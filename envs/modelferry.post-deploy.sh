#!/usr/bin/env bash
# Snakemake runs this in the folder of the workflow, with the new environment active. In a clone it installs what `make setup`
# does; elsewhere modelferry from the package index, or the wheel that MODELFERRY_PACKAGE names.
set -euo pipefail
extras='[workflow,cpp,lightning]'
if [ -d workflow/modelferry ]; then
    python -m pip install --constraint envs/constraints.txt torch --editable ".$extras"
else
    python -m pip install "${MODELFERRY_PACKAGE:-modelferry}$extras"
fi
