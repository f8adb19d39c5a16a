# Everything a contributor runs. Each target does its own set-up in .venv.
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: setup check lint types test record bench
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

check: lint types test

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: setup
	$(PY) -m mypy

test: setup
	$(PY) -m pytest --cov --cov-report=term

record: setup
	$(PY) -m scripts.record_cassettes

bench: setup
	$(PY) benchmarks/run.py
