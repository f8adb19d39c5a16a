# Everything a contributor runs. Each target does its own set-up in .venv.
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python

.PHONY: setup check lint types test screenshots record bench check-server check-matrix check-oldest check-latest check-kit
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
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
	$(PY) -m pytest --cov --cov-report=term -m 'not server'

# The README's pictures of the pages. Look at them.
screenshots: setup
	$(PY) -m scripts.screenshots

record: setup
	$(PY) -m scripts.record_cassettes

bench: setup
	$(PY) benchmarks/run.py

# The tests that need the full mlflow, in an environment of its own.
FULL := .venv-full
check-server: setup
	test -d $(FULL) || $(PYTHON) -m venv $(FULL)
	$(FULL)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[full]'
	AUTOTRACE_FULL_MLFLOW=$(CURDIR)/$(FULL)/bin/python $(PY) -m pytest -m server

# The newest release of everything, whatever constraints.txt says.
check-latest:
	test -d .venv-latest || $(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --upgrade pip
	.venv-latest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[test]'
	.venv-latest/bin/python -m pytest -m 'not server'

# The oldest mlflow-skinny that is supported, and those whose databases are written to in bulk.
MATRIX ?= 3.14.0 3.15.2 3.16.1 3.17.2
check-matrix:
	for version in $(MATRIX); do \
		test -d .venv-$$version || $(PYTHON) -m venv .venv-$$version || exit 1; \
		.venv-$$version/bin/python -m pip install --quiet --editable '.[test]' mlflow-skinny==$$version || exit 1; \
		.venv-$$version/bin/python -m pytest -m 'not server' || exit 1; \
	done

# The oldest LangChain that is supported, with LangGraph of its time: whole programs, and what capture reads of them.
OLDEST ?= langchain-core==1.2.5 langchain==1.2.4 langgraph==1.0.10 langgraph-prebuilt==1.0.8 langchain-openai==1.1.6
check-oldest:
	test -d .venv-oldest || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --editable '.[test]' $(OLDEST)
	.venv-oldest/bin/python -m pytest tests/test_owners.py tests/test_interrupts.py tests/test_lost_parents.py \
		tests/test_attachments.py tests/test_agents.py tests/test_noise.py tests/test_search.py tests/test_costs.py tests/test_journeys.py

# The test kit with the models of all providers, beside langchain-tests: on vcrpy 8, which that needs, and on 9.
KIT := .venv-kit
check-kit:
	test -d $(KIT) || $(PYTHON) -m venv $(KIT)
	sed 's/==.*/==/' tests/testing/providers.txt | grep -v -F -f - constraints.txt > $(KIT)/constraints.txt
	$(KIT)/bin/python -m pip install --quiet -c $(KIT)/constraints.txt -r tests/testing/providers.txt --editable '.[test]'
	$(KIT)/bin/python -m pip install --quiet --no-deps langchain-tests==1.1.9
	$(KIT)/bin/python -m pytest tests/testing tests/test_cassettes.py
	grep '^vcrpy==' constraints.txt | $(KIT)/bin/python -m pip install --quiet --no-deps -r /dev/stdin
	$(KIT)/bin/python -m pytest tests/testing/test_stacks.py
