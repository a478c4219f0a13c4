# `make` lists the targets. Everything runs from .venv, which the first of them makes.
PY := .venv/bin/python
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Half of what a test run costs before its first test is the rewriting of assertions: it is done once per file.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help venv lint unit test demo bench lock clean

QUICK := not api and not e2e and not real and not deep
WORKERS ?= 2
# A cluster that exists, instead of the local one: `make demo CONTEXT=NAME`.
CONTEXT_FLAG := $(if $(CONTEXT),--context $(CONTEXT))

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

venv: ## make .venv from the lock files
	@requirements/venv.sh

lint: venv ## style, types and shape of the code
	@echo 'lint: ruff, mypy, import-linter (under a minute)'
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

unit: venv ## tests that need nothing but Python (half a minute)
	@echo 'unit: tests that need nothing but Python'
	@$(PY) -m pytest -q -n $(WORKERS) --dist worksteal --hypothesis-profile quick -m '$(QUICK)' $(ARGS)

test: venv ## all tests; brings real clusters up, the first time compiles their programs
	@mkdir -p out
	@echo 'test: what needs a server or a control plane starts it; the full cluster comes after'
	@result=0; \
	$(PY) -m pytest -q -n $(WORKERS) --dist loadfile -m 'not e2e' --junitxml out/tests.xml $(CONTEXT_FLAG) $(ARGS) \
	    || result=$$?; \
	echo 'test: end to end, one after another, on a full cluster'; \
	$(PY) -m pytest -q -m e2e --junitxml out/tests-e2e.xml $(CONTEXT_FLAG) $(ARGS) || result=$$?; \
	exit $$result

demo: venv ## watch releases on a real local Kubernetes; KEEP=1 leaves it up
	@$(PY) -m localcluster.demo $(if $(KEEP),--keep) $(CONTEXT_FLAG) $(ARGS)

bench: venv ## measure what docs/ claims, on the local cluster
	@$(PY) -m benchmarks $(ARGS)

lock: ## resolve the lock files anew; ARGS=--upgrade takes newer versions
	@echo 'lock: resolving requirements/*.txt'
	@requirements/lock.sh $(ARGS)

clean: ## remove caches and output; .venv, clusters and their images stay
	@rm -rf out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
