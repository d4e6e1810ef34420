# Everything runs in this checkout's own .venv. It is made on first use, and brought up to date when pyproject.toml changes.
#
#   make test PYTHON=python3.12        another interpreter (3.11 or newer, with venv)
#   make test TORCH=torch==2.11.0      another torch; one that is installed already and new enough is kept
#   make test PYTEST="-k oracle -x"    arguments for pytest
#   make test JOBS=8                   processes for the tests

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH ?= torch==2.13.0
PYTHON ?=
PYTEST ?=
JOBS ?= 2

RECENT := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
TORCH_IS_RECENT := import torch; assert torch.torch_version.TorchVersion(torch.__version__) >= "2.11"

.PHONY: help install demo test lint types format bench

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

install: $(STAMP)  ## make .venv, with secateur and all that its tests need

demo: $(STAMP)  ## prune small networks and show what was found
	$(BIN)/secateur demo

test: lint types  ## lint, types, tests and the examples in docstrings
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST)

lint: $(STAMP)  ## style, and imports that point upward
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

types: $(STAMP)  ## static types
	$(BIN)/basedpyright

format: $(STAMP)  ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure the oracle's engines beside their peers; prints JSON
	$(BIN)/secateur bench oracle --json

# Torch comes first and by exact version: where a CPU build of it is at hand, pip takes that one, while a range would
# fetch the newest build with gigabytes of CUDA.
$(STAMP): pyproject.toml
	@set -e; found=; \
	if ! $(BIN)/python -c '$(RECENT)' 2>/dev/null; then \
	    for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	        if $$python -c '$(RECENT)' 2>/dev/null; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "No Python 3.11 or newer with the venv module was found. Install one, or name it: make $(or $(MAKECMDGOALS),install) PYTHON=..." >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$($$found --version)"; \
	    $$found -m venv --clear $(VENV); \
	fi
	@$(BIN)/python -c '$(TORCH_IS_RECENT)' 2>/dev/null || { \
	    echo "Installing $(TORCH)"; $(BIN)/python -m pip install -qq "$(TORCH)"; }
	@echo "Installing secateur and its tools"
	@$(BIN)/python -m pip install -qq --editable ".[dev]"
	@touch $@
