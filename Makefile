# The two commands: `make run` on a fresh clone, and `make test`. All other work is `.venv/bin/snakemake --cores N`.
# While coding: `make test-fast`, which names the slow files that it leaves out.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= $(shell nproc)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal
INSTALLED := .venv/installed

.PHONY: run setup test test-fast test-slurm test-htcondor test-browser test-destinations dist test-wheel docs coverage lint types bench fuzz fuzz-files fuzz-cpp chaos test-tsan schemas lock clean

run: setup
	@$(BIN)/snakemake --cores $(CORES)

setup: $(INSTALLED)

# All by digest but PyTorch itself, of which indexes hold several builds; a build for CUDA brings its libraries.
$(INSTALLED): envs/lock.txt envs/constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes --no-deps --requirement envs/lock.txt
	$(PIP) --constraint envs/constraints.txt torch
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

test: setup
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint types
	$(PYTEST)

test-fast: setup # for the loop while coding
	$(BIN)/ruff check .
	$(PYTEST) --fast

test-slurm test-htcondor: test-%: setup # on a real cluster of one machine, set up for it and taken down; Slurm's as root
	$(PIP) --constraint envs/constraints.txt --editable '.[$*]'
	MODELFERRY_TEST_CLUSTER=$* $(BIN)/python -m pytest --basetemp=/tmp/modelferry-$* tests/cluster

test-browser: setup # the report's HTML page in Debian's chromium
	$(PIP) --constraint envs/constraints.txt --editable '.[browser]'
	MODELFERRY_TEST_BROWSER=1 $(BIN)/python -m pytest tests/browser

dist: setup # sdist and wheel, the wheel made of the sdist, both checked
	$(PIP) --constraint envs/constraints.txt --editable '.[dist]'
	rm -rf dist && $(BIN)/python -m build --no-isolation --quiet
	$(BIN)/python -m twine check --strict dist/*

test-wheel: dist # in an empty environment with the wheel alone, far from any clone
	rm -rf .venv-wheel && $(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt torch "$$(ls dist/*.whl)[workflow,cpp]"
	MODELFERRY_TEST_WHEEL=.venv-wheel $(BIN)/python -m pytest tests/wheel

test-destinations: setup # in an older ONNX Runtime, which pip gets; jets as CMSSW prepares them
	MODELFERRY_TEST_DESTINATIONS=1 $(BIN)/python -m pytest -n 2 tests/destinations

docs: setup # the site, in docs/_build; warns of nothing
	$(PIP) --constraint envs/constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build

coverage: setup # all tests again, a quarter slower, and the lines that none of them runs
	$(PYTEST) --cov --cov-report=term-missing

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check --compact-diff workflow/Snakefile workflow/rules workflow/template/Snakefile
	$(BIN)/snakemake --lint

types: setup
	$(BIN)/mypy

bench: setup # medians of interleaved runs on one thread; keep the machine idle meanwhile
	$(BIN)/python bench/claims.py
	$(BIN)/python bench/bytecnn.py
	$(BIN)/python bench/jets.py
	$(BIN)/python bench/compiled.py
	$(BIN)/python bench/real_checkpoints.py

fuzz: setup # after a run: 10,000 random and 1,000 malformed inputs for each artifact, each in a process of its own
	$(BIN)/python bench/fuzz.py

fuzz-files: setup # 10,000 mutated checkpoints, 2,000 ROOT and 2,000 parquet files; goes on where it was stopped
	$(BIN)/python bench/fuzz_files.py --state .fuzz-files.json

fuzz-cpp: setup # 100,000 mutated contracts, manifests, archives and frames each, under AddressSanitizer and UBSan
	$(BIN)/python bench/fuzz_cpp.py

chaos: setup # 200 random faults in a small campaign, each repaired by the same command; goes on where it was stopped
	$(BIN)/python bench/chaos.py --folder /tmp/modelferry-chaos

test-tsan: setup # the C++ library's own code under ThreadSanitizer, with a stub in the place of libtorch's loaders
	$(BIN)/python -m pytest -n 0 tests/cpp/test_cpp_library.py -k race

schemas: setup
	$(BIN)/modelferry schemas workflow/schemas

lock: # after changing dependencies in pyproject.toml: resolve anew in an empty environment and pin what comes out
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0 --editable '.[workflow,cpp,lightning,dev]'
	.venv-lock/bin/python -m pip freeze --exclude-editable | grep -v '^torch==' > .venv-lock/pinned.txt
	.venv-lock/bin/python -m pip install --quiet --editable '.[slurm,htcondor,browser,completion,sign,docs,dist]'
	(sed -n '/^#/p' envs/constraints.txt; .venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//') > envs/constraints.new
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header .venv-lock/pinned.txt --output-file envs/lock.txt
	mv envs/constraints.new envs/constraints.txt && rm -rf .venv-lock

clean:
	rm -rf .snakemake logs $(filter-out %/README.md,$(wildcard results/* reports/*)) results/.previous-reports.json
