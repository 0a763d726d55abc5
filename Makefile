# Start with `make demo` or `make test`. Each first creates the virtual environment .venv if needed.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

BENCH_BIN := .venv-bench/bin
BENCH_READY := .venv-bench/.ready
PEERS_BIN := .venv-peers/bin
PEERS_READY := .venv-peers/.ready
MPI_BIN := .venv-mpi/bin
MPI_READY := .venv-mpi/.ready
BOUNDS_BIN := .venv-bounds/bin
BOUNDS_READY := .venv-bounds/.ready
TORCH := torch==2.13.0
DATA ?= texts
# The oldest allowed versions of what charlm requires, or the oldest for a newer Python.
BOUNDS := typer==0.19.* rich==13.7.* tqdm==4.66.* 'numpy==2.0.*; python_version < "3.13"' \
	'numpy==2.1.*; python_version == "3.13"' 'numpy==2.3.*; python_version > "3.13"'
# What depends on them: files, checkpoints, the command line.
BOUNDS_TESTS := $(addprefix tests/,test_api.py test_config.py faults/test_versions.py \
	$(addprefix system/test_,npz.py atomic_files.py file_lock.py) \
	$(addprefix training/test_,checkpoint.py checkpoint_files.py loop.py) \
	$(addprefix text/test_,corpus_cache.py encoder.py text_files.py vocabulary.py) \
	$(addprefix cli/test_,cli.py cli_train.py cli_sample.py cli_eval.py cli_printing.py \
	cli_widths.py options.py))
PIP_INSTALL := pip install --quiet --disable-pip-version-check

.PHONY: demo test test-peers test-mpi test-bounds test-faults check lint types bench bench-scale reproduce clean

demo: $(READY)
	@$(BIN)/charlm corpus get python-docs --out runs/python-docs.txt --force
	$(BIN)/charlm train runs/python-docs.txt
	$(BIN)/charlm sample --seed "machine"
	$(BIN)/charlm eval

test: $(READY)
	$(BIN)/pytest -n auto --dist worksteal -rs

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Compare with PyTorch. If it cannot be installed, print one line with the reason and succeed.
test-peers: $(PEERS_READY)
	@if test -e $(PEERS_READY); then $(PEERS_BIN)/pytest tests/peers; fi

$(PEERS_READY): pyproject.toml
	$(PYTHON) -m venv .venv-peers
	@if why=$$($(PEERS_BIN)/$(PIP_INSTALL) $(TORCH) 2>&1); \
	then $(PEERS_BIN)/$(PIP_INSTALL) --editable . pytest && touch $@; \
	else echo "peer tests skipped, PyTorch cannot be installed: $${why##*ERROR: }"; fi

# Run commands under mpiexec on this machine.
test-mpi: $(MPI_READY)
	$(MPI_BIN)/pytest tests/mpi

$(MPI_READY): pyproject.toml
	$(PYTHON) -m venv .venv-mpi
	$(MPI_BIN)/$(PIP_INSTALL) --editable '.[mpi,experiments]' pytest hypothesis
	@touch $@

# Run the tests that depend on libraries with the oldest versions that are allowed.
test-bounds: $(BOUNDS_READY)
	$(BOUNDS_BIN)/pytest -n auto --dist worksteal -W 'ignore::DeprecationWarning:typer' $(BOUNDS_TESTS)

$(BOUNDS_READY): pyproject.toml Makefile
	$(PYTHON) -m venv .venv-bounds
	$(BOUNDS_BIN)/$(PIP_INSTALL) --editable . $(BOUNDS) pytest pytest-xdist hypothesis
	@touch $@

# Run all tests at full counts and write the table in docs/reliability.md. FAULTS selects files of
# tests/faults.
test-faults: $(READY)
	$(BIN)/pytest --full -rs $(if $(FAULTS),$(addprefix tests/faults/,$(FAULTS)),tests)

# Compare speed with PyTorch and JAX, if installable. BENCH selects benchmarks and options.
bench: $(BENCH_READY)
	$(BENCH_BIN)/python -m benchmarks $(BENCH)

# Remake published tables from the texts in the folder DATA; docs/reproduce.md says where they are
# from. REPRODUCE selects tables and options.
reproduce: $(BENCH_READY)
	$(BENCH_BIN)/python -m benchmarks.reproduce $(REPRODUCE) --data $(DATA)

# Measure scaling on several ranks, and draw the model of many nodes in docs/scaling-model.md.
bench-scale: $(MPI_READY)
	$(MPI_BIN)/python -m benchmarks.scale $(BENCH)
	$(MPI_BIN)/python -m benchmarks.scaling_model --picture docs/scaling.svg

$(BENCH_READY): pyproject.toml
	$(PYTHON) -m venv .venv-bench
	$(BENCH_BIN)/$(PIP_INSTALL) --editable '.[bench]'
	-$(BENCH_BIN)/$(PIP_INSTALL) $(TORCH)
	-$(BENCH_BIN)/$(PIP_INSTALL) jax
	@touch $@

clean:
	rm -rf .venv .venv-bench .venv-bounds .venv-peers .venv-mpi build dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "charlm needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP_INSTALL) --editable '.[dev]'
	@touch $@
