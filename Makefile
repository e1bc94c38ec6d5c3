# Needs GNU make (3.81 or newer, as on macOS) and Python 3.11 or newer; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first of these that is Python 3.11 or newer; `make PYTHON=/some/python test` to choose another.
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON = $(shell for python in $(PYTHONS); do "$$python" -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo "$$python" && break; done)

.PHONY: help demo up serve notebooks test crash machines week settlement lint types format bench wheel wheel-check pins clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## send the example campaign to the sandbox on this machine; nothing leaves it
	@$(BIN)/mambo demo

up: $(STAMP) ## Prefect's server with its pages, which schedules need; until Ctrl-C
	@$(BIN)/mambo up

FOLDER ?= .
serve: $(STAMP) ## send each campaign of a folder at its time, until Ctrl-C: make serve FOLDER=campaigns
	@$(BIN)/mambo serve "$(FOLDER)"

NOTEBOOKS := $(basename $(notdir $(wildcard notebooks/*.py)))
EXAMPLE := $(CURDIR)/build/notebooks/example

notebooks: $(STAMP) ## a ledger of four months, and the notebooks on it as .ipynb and .html in build/notebooks
	@rm -rf build/notebooks
	@$(BIN)/python data/make_ledger.py "$(EXAMPLE)"
	@for name in $(NOTEBOOKS); do for form in html ipynb; do \
		MAMBO_STORE="$(EXAMPLE)/ledger.db" $(BIN)/marimo --quiet export $$form notebooks/$$name.py \
			$$([ $$form = html ] || echo --include-outputs) --output build/notebooks/$$name.$$form || exit 1; \
	done; done
	@echo "They are in build/notebooks. As apps: MAMBO_STORE=build/notebooks/example/ledger.db $(BIN)/marimo run notebooks"

# What ARGS names instead of a whole folder of tests: without a path in it, the folder that stands here.
within = $(if $(filter tests/%,$(ARGS)),,$(1)) $(ARGS)

test: $(STAMP) ## the whole test suite; one part of it: make test ARGS=tests/unit
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup $(ARGS)

# A kill takes three seconds or so, and the two stores run side by side: some five minutes; 500 take three quarters of an hour.
KILLS ?= 40

crash: $(STAMP) ## kill the real command again and again, on both stores; longer: make crash KILLS=500
	@KILLS=$(KILLS) $(BIN)/python -m pytest $(call within,tests/crash) --numprocesses 2 --dist loadgroup

week: $(STAMP) ## a week of scheduled campaigns in some four minutes, on both stores, on a clock that is moved
	@$(BIN)/python -m pytest $(call within,tests/week) --numprocesses 2 --dist loadgroup

machines: $(STAMP) ## workers killed on a Prefect server on PostgreSQL; three minutes; wants PostgreSQL installed
	@$(BIN)/python -m pytest $(call within,tests/machines)

settlement: $(STAMP) ## what the balance tells of unknown calls, in thousands of simulated campaigns
	@PYTHONPATH=.:tests $(BIN)/python -m support.simulated_account $(ARGS)

lint: $(STAMP) ## rules and layout of the code
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check || { echo "'make format' lays these files out." >&2; exit 1; }

types: $(STAMP) ## types, strictly
	@$(BIN)/mypy

format: $(STAMP) ## lay the code out and repair what can be repaired
	@$(BIN)/ruff check --quiet --fix --exit-zero
	@$(BIN)/ruff format --quiet

bench: $(STAMP) ## measure; takes some minutes and wants a quiet machine
	@$(BIN)/python -m pytest $(call within,tests/bench)

wheel: $(STAMP) ## build dist/*.whl, without an index
	@rm -rf dist
	@$(BIN)/python -m hatchling build --target wheel

# The wheel in an environment of its own, away from this folder, with the base dependencies only.
wheel-check: wheel ## install the wheel into an empty environment and run the demo there
	@rm -rf build/wheel-check && mkdir -p build/wheel-check
	@$(BIN)/python -m venv build/wheel-check/venv
	@build/wheel-check/venv/bin/python -m pip install -qq --disable-pip-version-check --constraint requirements.txt dist/*.whl
	@cd build/wheel-check && venv/bin/mambo check 0772123456
	@cd build/wheel-check && TMPDIR="$$PWD" venv/bin/mambo demo
	@echo "Base install: $$(du -sm build/wheel-check/venv | cut -f1) MB"

pins: ## renew requirements.txt within the ranges of pyproject.toml; needs uv
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-header --no-emit-index-url \
		--annotation-style line pyproject.toml --output-file requirements.new
	@{ sed '/^#/!d' requirements.txt; cat requirements.new; } > requirements.tmp
	@mv requirements.tmp requirements.txt && rm requirements.new

clean: ## remove everything that was made here
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	@find data docs mambo_io notebooks pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The installed project is a pointer to this folder, so a clone that was moved or copied, or whose Python is gone,
# starts with a new environment; a change of the pins goes into the one that is there.
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
FRESH := --clear
endif

$(STAMP): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none of these is: $(PYTHONS)." \
		"Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { echo "$(PYTHON) is no Python 3.11 or newer." \
		"Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) comes without its venv module." \
		"On Debian and Ubuntu: sudo apt install $(notdir $(PYTHON))-venv" >&2; exit 1; }
	@echo "Preparing $(VENV), once; this takes a minute or two."
	@"$(PYTHON)" -m venv $(FRESH) $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --requirement requirements.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-index --no-build-isolation --editable .
	@echo "$(CURDIR)" > $@
