SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
LOCK := constraints/cpu.txt
STAMP := $(VENV)/.stamp-$(shell cat $(LOCK) pyproject.toml 2>/dev/null | cksum | cut -d ' ' -f 1)

# vLLM's import takes twice as long without bytecode.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1
export VLLM_NO_USAGE_STATS := 1

.PHONY: help install demo up test check format bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## set up .venv from constraints/cpu.txt

demo: $(STAMP) ## the whole tour: baseline, a good and a bad pull request, a night, real problems
	$(BIN)/evalwindow demo

up: $(STAMP) ## everything in the foreground, URLs printed; Ctrl-C stops it
	$(BIN)/evalwindow up

test: $(STAMP) ## all tests: unit, real parts, end to end; those in Airflow, which mostly wait, beside them
	@mkdir -p var; $(BIN)/python -m pytest tests/airflow >var/test-airflow.log 2>&1 & beside=$$!; \
	trap 'kill $$beside 2>/dev/null || true' EXIT; \
	rest=0; $(BIN)/python -m pytest tests/unit tests/real tests/e2e || rest=$$?; \
	airflow=0; wait $$beside || airflow=$$?; trap - EXIT; \
	cat var/test-airflow.log; exit $$((rest || airflow))

check: $(STAMP) ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## mend what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## the benchmarks, ratios in one run
	$(BIN)/python -m benchmarks

lock: ## write constraints/ anew from .venv and pyproject.toml
	PYTHON=$(BIN)/python bash constraints/lock.sh

clean: ## remove what was built and what the servers kept; .venv stays
	rm -rf var build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis *.egg-info

$(STAMP): $(LOCK) pyproject.toml deploy/setup.sh deploy/uv.sh
	@bash deploy/setup.sh $(VENV) $(LOCK)
	@rm -f $(VENV)/.stamp-*
	@touch $@
