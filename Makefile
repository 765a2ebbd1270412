# Everything from a fresh checkout: `make demo` solves a bundled example, `make test` runs all checks
# and tests. Both do all set-up first; Debian, Ubuntu and macOS with Python 3.11+ are enough.

EXAMPLE ?= examples/wine
BIN := .venv/bin

.PHONY: help setup demo test check lint types layers wheel lock clean

help:
	@echo "make setup   virtual environment in .venv, with everything the tests need"
	@echo "make demo    solve $(EXAMPLE) with the default model, in whatever sandbox is here"
	@echo "make test    make check, then all tests"
	@echo "make check   ruff, mypy, import layers, and the built wheel installed elsewhere"
	@echo "make lock    write requirements.lock from what .venv holds"

setup: .venv/.set-up

.venv/.set-up: pyproject.toml requirements.lock scripts/setup.sh
	@sh scripts/setup.sh

demo: setup
	@sh scripts/demo.sh $(EXAMPLE)

test: check
	$(BIN)/python -m pytest

check: lint types layers wheel

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

wheel: setup
	@sh scripts/wheel-check.sh $(EXAMPLE)

lock:
	$(BIN)/python -m pip list --format=freeze --exclude-editable --exclude setuptools \
	  | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf .venv .demo dist build
