# One environment for everything; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test check slow browser newest-jax oldest-jax matrix peers parity bench tpu-check clean

# Make the environment and explain the bundled photographs.
demo: $(READY)
	$(BIN)/python -m xattr explain xattr/models/bundled/photographs --out xattr-demo --overwrite

# Make the environment and run the tests, doctests included.
test: $(READY)
	$(BIN)/python -m pytest -n auto --doctest-modules xattr tests

# Style, types, architecture.
check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# What takes minutes, and what every method keeps to, compiled as users do.
slow: $(READY)
	$(BIN)/python -m pytest -n auto -m slow tests
	$(BIN)/python -m pytest -n auto --optimized tests/test_contracts.py tests/test_axioms.py

# Needs a Chromium: on Debian, the package `chromium`.
browser: $(READY)
	$(BIN)/python -m pytest -m browser tests

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[check]"
	touch $@

# The oldest JAX that is supported, and the newest that there is.
OLDEST_PYTHON ?= python3.11
NEWEST_PYTHON ?= $(lastword python3.13 $(sort $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python3)))

matrix: oldest-jax newest-jax

oldest-jax:
	$(OLDEST_PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --upgrade pip
	.venv-oldest/bin/python -m pip install --quiet --editable ".[test]" jax==0.10.0 jaxlib==0.10.0
	.venv-oldest/bin/python -m pytest -n auto tests

newest-jax:
	$(NEWEST_PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade pip
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable ".[test]" jax jaxlib
	.venv-newest/bin/python -m pytest -n auto tests

# The libraries that results are compared with, in an environment of their own.
PEERS = .venv-peers/.ready

$(PEERS): benchmarks/requirements.txt benchmarks/requirements-no-deps.txt pyproject.toml
	$(OLDEST_PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade pip
	.venv-peers/bin/python -m pip install --quiet -r benchmarks/requirements.txt
	.venv-peers/bin/python -m pip install --quiet --no-deps -r benchmarks/requirements-no-deps.txt
	.venv-peers/bin/python -m pip install --quiet --editable ".[test]"
	touch $@

peers: $(PEERS)

parity: $(PEERS)
	.venv-peers/bin/python -m pytest -m parity tests/parity

# DATA: a folder with weights/ and imagenet_sample/; OPTIONS: such as --quick.
bench: $(PEERS)
	@test -n "$(DATA)" || { echo "Give a folder: make bench DATA=DIR"; exit 2; }
	.venv-peers/bin/python -m benchmarks.bench --data "$(DATA)" $(OPTIONS)

# Compile every method for a TPU, without one; OPTIONS: such as --method rise.
TPU = .venv-tpu/.ready

$(TPU): pyproject.toml
	$(OLDEST_PYTHON) -m venv .venv-tpu
	.venv-tpu/bin/python -m pip install --quiet --upgrade pip
	.venv-tpu/bin/python -m pip install --quiet --editable ".[tpu-check]"
	touch $@

tpu-check: $(TPU)
	.venv-tpu/bin/python experiments/tpu/run.py $(OPTIONS)

clean:
	rm -rf .venv .venv-oldest .venv-newest .venv-peers .venv-tpu xattr-demo dist
