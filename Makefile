# `make tables` and `make test` need python3 (3.11 or later), pip and make; they set up all else in .venv.
PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)
PYTEST_ARGUMENTS ?=

.PHONY: tables test lint types clean

# Every table and figure on generated data.
tables: .venv/ready
	snakemake --cores all

# Lint, types, the tests, and a tiny workflow from generated data to the page.
test: .venv/ready lint types
	pytest -n 2 --dist worksteal $(PYTEST_ARGUMENTS)

lint: .venv/ready
	ruff check src tests benchmarks
	ruff format --check src tests benchmarks
	snakefmt --check Snakefile workflow

types: .venv/ready
	mypy

# uv installs the hash-pinned lock in a fifth of pip's time; where it cannot be had, pip does the same.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	if $(BIN)/python -m pip install -q uv; \
	then $(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock; \
	else $(BIN)/python -m pip install -q --require-hashes -r requirements.lock; fi
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf .venv .snakemake results/recipes results/resume results/logs
