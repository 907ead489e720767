# Two commands matter: `make testnet` shows a network on this machine, `make test` holds the project to its word.
PYTHON ?= python3
ARGS ?= --nodes 3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.cfg setup.py pyproject.toml
LONG := build/long
TARGET ?=
SECONDS ?= 60

.PHONY: help venv testnet test lint format codec fuzz long clean
help:
	@echo "make testnet [ARGS='--nodes 3 --check']   start a network of real nodes on this machine"
	@echo "make test                                 lint, types, import contracts, all tests"
	@echo "make fuzz [TARGET=session SECONDS=600]    look for bytes that break a decoder or a session"
	@echo "make venv | lint | format | codec | long | clean"

# The stamps say what is installed; a change of the requirements installs again.
$(VENV)/stamp-run: $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "timed needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[top]'
	touch $@

$(VENV)/stamp-test: $(VENV)/stamp-run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

$(VENV)/stamp-fuzz: $(VENV)/stamp-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	touch $@

venv: $(VENV)/stamp-test

testnet: $(VENV)/stamp-run
	$(BIN)/timed-testnet up $(ARGS)

test: lint
	$(BIN)/python -m twisted.trial -j3 tests

lint: $(VENV)/stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/stamp-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

codec: $(VENV)/stamp-run
	$(BIN)/python -m timed.codec

# All targets when none is named. A finding stays in build/fuzz and is named.
fuzz: $(VENV)/stamp-fuzz
	$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS)

# Each part leaves its file only when it has passed, so that an interrupted run continues where it was.
long: $(LONG)/sim-4.json $(LONG)/sim-7.json $(LONG)/mesh.json $(LONG)/wallet.json $(LONG)/mutants.json $(LONG)/fuzz.json
	@for part in $^; do echo "$$part: $$(tail -n 1 $$part)"; done | tee $(LONG)/report.txt

$(LONG)/sim-4.json: SEEDS = --nodes 4 --seeds 0..500
$(LONG)/sim-7.json: SEEDS = --nodes 7 --seeds 0..100
$(LONG)/sim-4.json $(LONG)/sim-7.json: $(VENV)/stamp-run
	@mkdir -p $(LONG)
	$(BIN)/timed-sim run $(SEEDS) --faults all --json > $@.part
	mv $@.part $@

$(LONG)/mesh.json: $(VENV)/stamp-run
	@mkdir -p $(LONG)
	$(BIN)/timed-sim mesh --nodes 50 --hours 2 --json > $@.part
	mv $@.part $@

$(LONG)/wallet.json: $(VENV)/stamp-run
	@mkdir -p $(LONG)
	for seed in 0 1 2 3 4 5 6 7 8 9; do \
	  $(BIN)/timed-sim wallet --payments 1000 --seed $$seed --json || exit 1; done > $@.part
	mv $@.part $@

$(LONG)/mutants.json: $(VENV)/stamp-run
	@mkdir -p $(LONG)
	$(BIN)/timed-sim mutants --json > $@.part
	mv $@.part $@

$(LONG)/fuzz.json: $(VENV)/stamp-fuzz
	@mkdir -p $(LONG)
	$(BIN)/python -m tests.fuzz --seconds 900 --json > $@.part
	mv $@.part $@

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .import_linter_cache .hypothesis
