# Two commands are all a new user needs: `make demo` and `make test`.
# Each makes the virtual environment in .venv first, if it is not there.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check lint types clean

demo: $(READY)
	@$(BIN)/charlm corpus get python-docs --out runs/python-docs.txt
	$(BIN)/charlm train runs/python-docs.txt
	$(BIN)/charlm sample --seed "machine"
	$(BIN)/charlm eval

test: $(READY)
	$(BIN)/pytest

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "charlm needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
