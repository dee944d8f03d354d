# make app    install what is missing, then serve the app       (PORT=8501 HOST=localhost)
# make test   install what is missing, then run every test      (ARGS="-k affinity" for a few)
# make lint   formatting, ruff, types, the direction of imports
# make bench  speed and memory as a table with ratios           (ARGS="--only hover")
# make fuzz   hostile input for every reader, counted           (ARGS="--seconds 60 --only image")
# make soak   twenty visitors at once for ten minutes           (ARGS="--sessions 4 --minutes 1")
# make audit  known vulnerabilities of the pinned packages      (needs the network)
# make docs   the API reference from the docstrings             (docs/api/index.html)
# make format let ruff rewrite the files
#
# Needs Python 3.11 or newer and nothing else. Everything lands in .venv; stamps in there make each command start at once
# when the requirements files have not changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help app test lint format bench fuzz soak audit docs clean

# the interpreter that .venv is made with: the first of these that is new enough, unless PYTHON names one
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

HOST ?= localhost
PORT ?= 8501
ARGS ?=
BIN := .venv/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

help:
	@sed -n '1,9s/^# //p' Makefile

app: .venv/.app-ready
	@echo "Loupe: http://$(HOST):$(PORT)  (Ctrl-C stops it)"
	@exec $(BIN)/python -m streamlit run app/main.py --server.address "$(HOST)" --server.port "$(PORT)"

# Two workers, not one per core: each brings its own torch, and the browser tests share one server.
test: .venv/.test-ready
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=2 --dist=loadscope $(ARGS)

lint: .venv/.test-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: .venv/.test-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.test-ready
	$(BIN)/python -m tests.benchmarks $(ARGS)

fuzz: .venv/.test-ready
	$(BIN)/python -W ignore -m tests.fuzz $(ARGS)

soak: .venv/.test-ready
	$(BIN)/python -m tests.soak $(ARGS)

# The public surface and what it answers with; everything else is found from there.
docs: .venv/.test-ready
	$(BIN)/python -m tests.reference docs/api

# In an environment of its own: it must not change what it looks at.
audit: .venv/.made
	@test -x .venv/audit/bin/pip-audit || { $(BIN)/python -m venv .venv/audit && .venv/audit/bin/pip install --quiet pip-audit==2.9.0; }
	.venv/audit/bin/pip-audit --requirement requirements.txt $(ARGS)

clean:
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache

# A .venv that works is kept, whoever made it; one that a previous attempt left half made is made again.
.venv/.made:
	@if [ -x $(BIN)/python ] && $(BIN)/python -c '$(NEW_ENOUGH)' && $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  touch $@; exit 0; \
	fi; \
	for candidate in $(CANDIDATES); do \
	  if command -v "$$candidate" >/dev/null && "$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$${python:-}" ]; then \
	  echo "Loupe needs Python 3.11 or newer; found: $$({ for c in $(CANDIDATES); do command -v $$c >/dev/null && $$c --version 2>&1; done || echo none; } | sort -u | paste -sd,)." \
	    "Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "This Python cannot make virtual environments: its venv module is missing (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; \
	fi; \
	echo "Making .venv with $$("$$python" --version)"; \
	"$$python" -m venv --clear .venv; \
	touch $@

.venv/.app-ready: requirements.txt .venv/.made
	@echo "Installing requirements.txt (the first time: about 6 GB, some minutes)"
	@$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $@

.venv/.test-ready: tests/requirements.txt .venv/.app-ready
	@echo "Installing tests/requirements.txt"
	@$(BIN)/python -m pip install --quiet --requirement tests/requirements.txt
	@touch $@
