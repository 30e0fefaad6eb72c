# make demo and make test set up everything they need: .venv, and the Debian packages where they may.
# PYTHON=python3.12 chooses another Python; TOOLS=no never installs Debian packages; JOBS=4 tests on four cores.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
STAMP := $(VENV)/.installed
TINYGEN := $(VENV)/bin/tinygen
PYTEST := $(VENV)/bin/python -m pytest

DIGITS := examples/digits

.DEFAULT_GOAL := help
.PHONY: help demo test tools venv lint accuracy models bench renew-benchmarks random sweep quantised compilers kills fuzz pythons clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## build, verify and evaluate the digits example for nucleo_f446re
	@.ci/tools demo
	@$(MAKE) --no-print-directory venv
	$(TINYGEN) build $(DIGITS)/digits.onnx --board nucleo_f446re --data $(DIGITS)/digits_calib.npz --output build/demo/digits
	$(TINYGEN) eval $(DIGITS)/digits.onnx --data $(DIGITS)/digits_test.npz --calibrate $(DIGITS)/digits_calib.npz

test: ## the whole test suite, except the long sweeps
	@.ci/tools test
	@$(MAKE) --no-print-directory venv
	$(PYTEST) -n $(JOBS)

tools: ## install the Debian packages (Arm compiler, QEMU, cppcheck), or say what is missing
	@.ci/tools test

venv: $(STAMP) ## the Python environment in .venv, tinygen installed as editable
	@:

$(STAMP): pyproject.toml setup.py
	@PYTHON="$(PYTHON)" .ci/tools venv
	@echo "Setting up $(VENV) (once; a few minutes on a slow network)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

lint: venv ## ruff, and mypy for Linux, macOS and Windows
	@status=0; $(VENV)/bin/ruff check . || status=1; \
	for system in linux darwin win32; do $(VENV)/bin/mypy --platform $$system || status=1; done; exit $$status

accuracy: venv ## the verdict on every model of ../shared/models, as a table
	$(VENV)/bin/python -m benchmarks.accuracy

models: venv ## build and verify every model of ../shared/models, as a table
	$(VENV)/bin/python -m benchmarks.models

bench: venv ## time and memory of the build itself, by phase
	$(VENV)/bin/python -m benchmarks.build_time

renew-benchmarks: venv ## record the figures that CI holds every change against, on purpose
	$(VENV)/bin/python -m benchmarks.guard --renew

random: venv ## the long run of random networks
	$(PYTEST) -n $(JOBS) -m slow tests/random

sweep: venv ## the long sweep of single layers: every kernel on every emulated core, as a table
	$(VENV)/bin/python -m tests.sweep

compilers: venv ## the same plans by every compiler and for every CPU that is installed, as a table
	$(VENV)/bin/python -m tests.compilers --output benchmarks/results/compilers.json

quantised: venv ## networks of onnxruntime's own quantiser: the C against onnxruntime, as a table
	$(VENV)/bin/python -m benchmarks.quantised

kills: venv ## 5,000 kills aimed at the swap of the output folder, as a table
	$(VENV)/bin/python -m tests.emit.kills

fuzz: venv ## 20,000 mutated models, data and recipes: no traceback, no exit 70, nothing without end
	$(VENV)/bin/python -m tests.fuzz --cases 20000 --jobs $(JOBS) --record

pythons: venv ## the wheel on every python3.X on PATH and in $$TINYGEN_PYTHONS: installed, used, the same bytes
	$(VENV)/bin/python -m tests.pythons

clean: ## remove build output and caches
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	rm -rf $(VENV)
