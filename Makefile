# Needs Python 3.11 to 3.13, make and git; uv is used where it is installed.

PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
# Two processes, of one thread each: threads of linear algebra that wait for each other take the time of the other process. The tests of one
# file stay together. Browser tests wait for a server and a Chromium, and two of them on two cores starve each other: tests/conftest.py
# keeps them in one process, and first, so that they are never the last to end.
PYTEST_FLAGS := -n 2 --dist loadfile --no-loadscope-reorder
PYTEST_ARGS ?=
APP_STAMP := $(VENV)/.app-installed
TESTS_STAMP := $(VENV)/.tests-installed

ifneq ($(UV),)
INSTALL := uv pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.DEFAULT_GOAL := help
.PHONY: help app test soak lint clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' Makefile

app: $(APP_STAMP) ## Serve the dashboard on http://127.0.0.1:8501 (PORT=... for another port)
	$(BIN)/python -m streamlit run app.py --server.port $(PORT)

# Compiled bytecode is kept in the virtual environment even where Python is told to write none: otherwise every process that the tests start
# compiles all of torch again.
test soak: export PYTHONDONTWRITEBYTECODE :=
test soak: export OMP_NUM_THREADS := 1
test soak: export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache

test: lint ## Check the style and the types, then run the tests
	$(BIN)/python -m pytest $(PYTEST_FLAGS) $(PYTEST_ARGS)

soak: $(TESTS_STAMP) ## Run longer versions of the tests: killed processes, many readers at once, generated files
	$(BIN)/python -m pytest $(PYTEST_FLAGS) -m soak $(PYTEST_ARGS)

lint: $(TESTS_STAMP) ## Check the style and the types only
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

clean: ## Delete the virtual environment and the caches of the tools
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# No bytecode goes into a folder that is no virtual environment yet: uv does not replace it.
$(BIN)/python: export PYTHONPYCACHEPREFIX :=
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
		echo "nmfdiag needs Python 3.11, 3.12 or 3.13, but '$(PYTHON)' is missing or another version." >&2; \
		echo "Name one that is installed, for example: make app PYTHON=python3.12" >&2; exit 1; }
ifneq ($(UV),)
	uv venv --quiet --clear --python "$$(command -v $(PYTHON))" $(VENV)
else
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment (Debian and Ubuntu: install python3-venv)." >&2; exit 1; }
endif

$(APP_STAMP): requirements.txt | $(BIN)/python
	$(INSTALL) -r requirements.txt
	@touch $@

$(TESTS_STAMP): requirements.txt pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[tests,export,distributed,trainers]'
	@touch $@ $(APP_STAMP)
