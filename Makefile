# `make demo` and `make test` are all that a newcomer needs; each sets up what it uses.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile
# `-e` asks for quiet once more: setuptools warns that an editable installation is one.
unexport PYTHONDONTWRITEBYTECODE  # else every process compiles Zhice's sources anew
STAMP := $(VENV)/.installed

.PHONY: demo test lint setup lock schemas chaos fuzz bench clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Zhice needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	sed -n '/^pip==/,/# via/p' requirements.lock | $(PIP) --require-hashes -r /dev/stdin
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --quiet --no-deps -e .
	$(VENV)/bin/zhice compile
	@touch $(STAMP)

demo: setup
	$(VENV)/bin/zhice demo

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: setup lint
	$(VENV)/bin/python -m pytest -n 4

# Hours of kill -9, on Apache Kafka; SEED=… replays, `.venv/bin/python -m tests.chaos --help` has its sizes.
chaos: setup
	$(VENV)/bin/python -m tests.chaos --report benchmarks/chaos.md

# A million inputs to the decoder and to the parser of expressions; SEED=… replays.
fuzz: setup
	$(VENV)/bin/python -m tests.fuzz

# Zhice beside its peers, on Apache Kafka: two hours or more; `.venv/bin/python -m benchmarks --help` has its sizes.
bench: setup
	$(VENV)/bin/python -m benchmarks

# Lock files with hashes and without any index address: for development, and for the image what runs alone.
lock:
	uv pip compile --quiet pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header \
		--universal --python-version 3.11 --output-file requirements.lock
	uv pip compile --quiet pyproject.toml --constraint requirements.lock --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --universal --python-version 3.11 --output-file deploy/requirements.lock

schemas: setup
	$(VENV)/bin/zhice schema --out docs/schemas

clean:
	rm -rf $(VENV) .zhice .mypy_cache .ruff_cache .hypothesis
