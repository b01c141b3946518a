# Each target needs python3 (3.11 or later), pip and make, and sets up all else in .venv.
PYTHON ?= python3
LOCK ?= requirements.lock
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)
PYTEST_ARGUMENTS ?=

.PHONY: demo tables test lint types clean

# One table and its page on generated data.
demo: .venv/ready
	snakemake --cores all --config 'tables=[avmnist_mmcosine]'

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
.venv/ready: $(LOCK) pyproject.toml
	@echo "Installing the packages of $(LOCK) into .venv, once; with CUDA, 3.1 GB are downloaded and 6 GB stay on disk."
	@echo "This takes about five minutes at 100 Mbit/s."
	@$(PYTHON) -m venv .venv
	@if $(BIN)/python -m pip install -q uv; \
	then $(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes $(LOCK); \
	else $(BIN)/python -m pip install -q --require-hashes -r $(LOCK); fi
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv .snakemake results/recipes results/resume results/logs
