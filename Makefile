# Everything a newcomer types. Needs Python 3.12+, make and the package registries, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: venv demo test proof check bench shots clean

WEB := $(shell find web -type f -not -path "*/node_modules/*")

$(STAMP): requirements/dev.txt pyproject.toml core/pyproject.toml hatch_build.py $(WEB)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 12) else "Fairwitness needs Python 3.12 or newer; this is %d.%d. Set PYTHON=/path/to/python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e core -e .
	@touch $(STAMP)

venv: $(STAMP)

demo: venv
	$(BIN)/fairwitness demo

test: venv
	$(BIN)/python scripts/test.py

# The long proofs: what is marked `proof`, then the kill matrix of tests/mutants.
proof: venv
	$(BIN)/python scripts/test.py --proof
	$(BIN)/python scripts/mutants.py

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_claims.py
	$(BIN)/python scripts/audit.py

# Every page and state in both sizes, light and dark, into the folder `shots`, which git ignores.
shots: venv
	FAIRWITNESS_SCREENSHOTS=shots $(BIN)/python scripts/test.py tests/browser
	FAIRWITNESS_SCREENSHOTS=shots $(BIN)/python scripts/test.py --proof tests/browser

bench: venv
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
