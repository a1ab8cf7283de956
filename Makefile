SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
LOCK := constraints/cpu.txt
# What images are built from; cpu.txt has the same versions, and torch's CPU build, which no index of advisories knows.
AUDITED := web orchestrator gpu
# A checkout of PyPA's advisory database: with it `make check` audits without a network.
ADVISORIES :=
STAMP := $(VENV)/.stamp-$(shell cat $(LOCK) pyproject.toml 2>/dev/null | cksum | cut -d ' ' -f 1)

# vLLM's import takes twice as long without bytecode.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1
export VLLM_NO_USAGE_STATS := 1

# Each group of tests is a process of its own; the longest first. Each says what it did when it is done.
TESTS := test-airflow test-faults test-e2e test-real test-engines test-unit
PATHS_airflow := tests/airflow
PATHS_e2e := tests/e2e
PATHS_engines := tests/real/engines
PATHS_faults := tests/faults
PATHS_real := tests/real --ignore=tests/real/engines
PATHS_unit := tests/unit

.PHONY: $(TESTS) help install demo up test check audit format bench soak lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## set up .venv from constraints/cpu.txt

demo: $(STAMP) ## the whole tour: baseline, a good and a bad pull request, a night, real problems
	$(BIN)/evalwindow demo

up: $(STAMP) ## everything in the foreground, URLs printed; Ctrl-C stops it
	$(BIN)/evalwindow up

test: $(STAMP) ## all tests, two groups at a time; one group: make test-unit (-real, -engines, -faults, -e2e, -airflow)
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target $(TESTS)

$(TESTS): test-%: $(STAMP)
	$(BIN)/python -m pytest $(PATHS_$*)

check: $(STAMP) ## lint, format, types, import rules, pinned packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python constraints/audit.py $(ADVISORIES)

audit: $(STAMP) ## the pinned packages against known advisories; needs a network, see docs/security.md
	rest=0; for list in $(AUDITED); do \
	  $(BIN)/uv tool run pip-audit --strict --no-deps --disable-pip -r constraints/$$list.txt || rest=1; done; exit $$rest

format: $(STAMP) ## mend what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## the benchmarks, ratios in one run
	$(BIN)/python -m benchmarks

soak: $(STAMP) ## ten minutes of faults on everything, then what was lost, doubled or stuck: ARGS="--minutes 60 --seed 1"
	$(BIN)/python -m soak $(ARGS)

lock: ## write constraints/ anew from .venv and pyproject.toml
	PYTHON=$(BIN)/python bash constraints/lock.sh

clean: ## remove what was built and what the servers kept; .venv stays
	rm -rf var build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis *.egg-info

$(STAMP): $(LOCK) pyproject.toml deploy/setup.sh deploy/uv.sh
	@bash deploy/setup.sh $(VENV) $(LOCK)
	@rm -f $(VENV)/.stamp-*
	@touch $@
