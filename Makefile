# `make demo` trains a small model and shows what it writes; `make test` runs the tests. Both make .venv when it is missing.
# `make test-long` runs the wider sweeps (marked `long`): every stage of the check on every tiny model, every model in
# low precision, most of our own seeded bugs (CI runs these), every Hugging Face configuration with both kinds of
# weights, certificates, kills at many moments, trainings to the end. It compiles as users' runs do, without the flags by
# which conftest.py has other tests compile fast.
# Other targets: lint, format, bench, clean.
# Settings: make demo STEPS=50, make test JOBS=4 PYTEST="tests/cli -x", make PYTHON=python3.13 ...

VENV ?= .venv
STEPS ?=
PYTEST ?=
JOBS ?= 2

# The first Python that runs and is new enough; a name may exist without a Python behind it.
PYTHON ?= $(shell for p in python3 python python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

BIN := $(VENV)/bin
RUN = runs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo test test-long lint format bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@out=$(RUN) && $(BIN)/jaxdec train char-gpt --out $$out \
		$(if $(STEPS),--train.steps $(STEPS))

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST)

test-long: $(VENV)/.installed-dev
	XLA_FLAGS="$(XLA_FLAGS)" $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m long $(PYTEST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	$(BIN)/jaxdec bench train

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "no Python from 3.11 on was found: make PYTHON=/path/to/python3 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The stamps depend on what decides the versions: a change of either installs anew.
$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed
