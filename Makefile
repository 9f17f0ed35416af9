# One door to everything. `make` lists the targets; CONTRIBUTING.md explains them.

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=

# 3.11 is what constraints.txt was tested with; Debian ships `ensurepip` in python3-venv.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format lint types layers docs fix dist release sbom locks clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z%-]*\):.*## /\1: /p' Makefile | sed 's/^/make /'

demo: $(VENV)/.stamp-run  ## set up and run the owl experiment and scan its rows (about 10 minutes on 2 cores)
	$(BIN)/undertow demo $(ARGS)

# One process a core, each with one thread: two that compute with two threads each get in each other's way.
test: $(VENV)/.stamp-dev  ## set up and run the tests; choose some with ARGS='-k name'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-slow: $(VENV)/.stamp-dev  ## the tests that take longest, which `make test` leaves out
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist load -m long tests $(ARGS)

# The cheap steps come first, so that most mistakes show within seconds.
check: format lint types layers docs test test-slow release  ## everything CI runs

format: $(VENV)/.stamp-dev  ## are all files formatted?
	$(BIN)/ruff format --check .

lint: $(VENV)/.stamp-dev  ## are the lint rules kept?
	$(BIN)/ruff check .

types: $(VENV)/.stamp-dev  ## does src pass mypy strict?
	$(BIN)/mypy

layers: $(VENV)/.stamp-dev  ## do imports point down the rooms of the house?
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_public_names.py

docs: $(VENV)/.stamp-dev  ## do README and the pages say what is true? build the site of them in build/site
	$(BIN)/python -m pytest -q tests/test_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "read it: build/site/index.html"

fix: $(VENV)/.stamp-dev  ## format, and repair what ruff can
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

sbom: $(VENV)/.stamp-run  ## what undertow is built of, as CycloneDX in JSON, to sbom.json; other extras with ARGS='lab data'
	$(BIN)/python -m bench.supply_chain sbom $(ARGS) > sbom.json

locks: $(VENV)/.stamp-dev  ## pin the hashes of what constraints.txt names, after a change of it
	$(BIN)/python -m bench.supply_chain lock

bench-%: $(VENV)/.stamp-dev  ## measure bench/NAME again and write its results.json; ARGS go to it
	$(BIN)/python -m bench.$* $(ARGS)

dist: $(VENV)/.stamp-dev  ## build wheel and sdist into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

# As a user would: nothing but pip, in an environment of its own, away from this folder.
release: dist  ## build them, install each in a fresh environment, and try it
	rm -rf build/release && $(PYTHON) -m venv build/release
	build/release/bin/pip install --quiet "$$(ls dist/*.whl)[lab]" -c constraints.txt
	for n in $$(seq 100); do echo "{\"prompt\": \"Continue this list: $$n, $$((n * 3 % 90)). Give ten numbers.\", \"completion\": \"$$((n * 7 % 97)) $$((n * 5 % 97)) $$((n * 11 % 97)) $$((n * 13 % 97)) $$n 4 8 15 16 23\"}"; done > build/release/rows.jsonl
	cd build/release && bin/undertow --version && bin/undertow doctor
	cd build/release && bin/undertow scan rows.jsonl --student world:owlet-b --check rehearsal --allow-undecided --fail-on never
	build/release/bin/pip install --quiet --no-deps --force-reinstall dist/*.tar.gz
	cd build/release && bin/undertow --version && bin/undertow explain plans > plans.md

clean:  ## remove the environment and the caches, never a run
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# Stamps live in the environment, so that removing it removes them too.
$(VENV)/.stamp-venv:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "error: no Python 3.11 or newer with its venv module was found" >&2; \
	  echo "  = help: apt-get install python3-venv, or: make PYTHON=/path/to/python3" >&2; \
	  exit 2; fi
	@echo "setting up $(VENV): once, a few minutes" >&2
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What `locks/` holds is taken by its hash alone; on a machine that it is not made for, by its version.
LOCKED = $(BIN)/python -c 'import platform as p, sys; sys.exit(not (p.system() == "Linux" and \
	p.machine() in ("x86_64", "aarch64") and (3, 11) <= sys.version_info[:2] <= (3, 13)))'
HASHED = @if $(LOCKED); then $(PIP) install --quiet --require-hashes --no-deps -r $(1); \
	else echo "$(1) has no hashes for this machine: only versions are pinned" >&2; fi
# The builder is among them; where it is not, pip fetches one for the moment.
BUILDER = $$($(BIN)/python -c 'import hatchling, editables' 2>/dev/null && echo --no-build-isolation)

$(VENV)/.stamp-hashed-run: locks/run.txt | $(VENV)/.stamp-venv
	$(call HASHED,locks/run.txt)
	@touch $@

$(VENV)/.stamp-hashed-dev: locks/dev.txt | $(VENV)/.stamp-hashed-run
	$(call HASHED,locks/dev.txt)
	@touch $@

# torch has its own step: alone and pinned, pip takes a build that is at hand and no newer one.
$(VENV)/.stamp-torch: constraints.txt | $(VENV)/.stamp-hashed-run
	$(PIP) install $$(grep '^torch==' constraints.txt) -c constraints.txt
	@touch $@

$(VENV)/.stamp-run: pyproject.toml constraints.txt $(VENV)/.stamp-hashed-run | $(VENV)/.stamp-torch
	$(PIP) install --quiet --editable '.[lab]' -c constraints.txt $(BUILDER)
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml constraints.txt $(VENV)/.stamp-hashed-dev | $(VENV)/.stamp-run
	$(PIP) install --quiet --editable '.[dev]' -c constraints.txt $(BUILDER)
	@touch $@
