# `make` alone lists the targets. Only these variables are for you to set:
PYTHON ?=
PORT ?= 8000
ARGS ?=
PYTEST_FLAGS ?=
UVICORN_FLAGS ?=

.DEFAULT_GOAL := help
# The order of prerequisites matters: the port is asked for before anything is installed.
.NOTPARALLEL:
# A half-made environment would look finished next time.
.DELETE_ON_ERROR:
.PHONY: help run test test-quick test-all format test-django check bench bench-report screenshots clean port-is-free

venv := .venv
python := $(venv)/bin/python
# Twice quiet: errors only. A failure still shows, with the output of what failed.
pip_install := $(python) -m pip --disable-pip-version-check install -qq

# A version manager's shim may be on the path and fail, so each candidate is tried, not looked up.
pyenv_versions := $${PYENV_ROOT:-$$HOME/.pyenv}/versions
candidates := $(PYTHON) python3 python3.13 python3.12 python3.11 python \
	/usr/bin/python3 /usr/local/bin/python3 "$(pyenv_versions)"/3.1[1-9]*/bin/python
usable := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))

# An environment whose interpreter has gone (a system's upgrade) is made and filled anew.
$(shell test -x $(python) || rm -f $(venv)/.run-stamp $(venv)/.test-stamp $(venv)/.dev-stamp)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: port-is-free $(venv)/.run-stamp ## serve the example on http://127.0.0.1:8000 (PORT= for another port)
	@$(python) manage.py migrate --verbosity 0
	@echo "Serving the example on http://127.0.0.1:$(PORT) (Ctrl-C stops it)"
	@exec $(python) -m uvicorn example_project.asgi:application \
		--host 127.0.0.1 --port $(PORT) --lifespan on $(UVICORN_FLAGS)

test: $(venv)/.dev-stamp ## run the tests; those that miss a service say so and skip (ARGS="-k cors")
	@$(python) -m pytest $(PYTEST_FLAGS) $(ARGS)

test-quick: $(venv)/.test-stamp ## run the tests that start no process
	@$(python) -m pytest -m "not process" $(PYTEST_FLAGS) $(ARGS)

test-all: $(venv)/.dev-stamp ## run the tests; a missing service is a failure
	@REQUIRE_SERVICES=1 $(python) -m pytest $(PYTEST_FLAGS) $(ARGS)

test-django: $(python) ## run Django's own tests without and with the thread pool, and compare
	@$(python) -m tests.django_suite

format: $(venv)/.dev-stamp ## format the code, and mend what lint can mend
	$(python) -m ruff format
	$(python) -m ruff check --fix

check: $(venv)/.dev-stamp ## formatting, lint, types
	$(python) -m ruff format --check
	$(python) -m ruff check
	$(python) -m mypy
	$(python) -m pyright --pythonpath $(python)

bench: $(venv)/.dev-stamp ## compare the middleware with others, as a table
	@$(python) -m benchmarks

bench-report: $(venv)/.dev-stamp ## measure everything, and write docs/benchmarks.md anew (needs wrk)
	@$(python) -m benchmarks.write

screenshots: $(venv)/.dev-stamp ## take the README's pictures anew (needs Chromium)
	@$(python) docs/screenshots.py

clean: ## remove the environment, caches and builds; the example's database stays
	rm -rf $(venv) .build build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Bound as uvicorn binds it: with SO_REUSEADDR a connection that lingers does not count.
port-is-free: $(python)
	@$(python) -c 'import socket; s = socket.socket(); \
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); \
		s.bind(("127.0.0.1", $(PORT)))' 2>/dev/null || { \
		echo "Port $(PORT) on 127.0.0.1 is taken or not allowed: choose another with PORT=, for example 'make run PORT=8765'." >&2; \
		exit 1; }

$(python):
	@for candidate in $(candidates); do \
		"$$candidate" -c '$(usable)' </dev/null >/dev/null 2>&1 || continue; \
		echo "Making $(venv) with $$candidate"; \
		exec "$$candidate" -m venv --clear $(venv); \
	done; \
	echo "No Python 3.11 or newer that runs and has ensurepip: name one with PYTHON=, or on Debian install python3-venv." >&2; \
	exit 1

$(venv)/.run-stamp: pyproject.toml | $(python)
	@echo "Installing the package and what the example needs"
	@$(pip_install) -e '.[example]'
	@touch $@

$(venv)/.test-stamp: pyproject.toml | $(python)
	@echo "Installing the package and what its quick tests need"
	@$(pip_install) -e '.[test]'
	@touch $@

# The dev extra includes the example's and the tests'.
$(venv)/.dev-stamp: pyproject.toml | $(python)
	@echo "Installing the package, its tests' servers and clients, and the tools"
	@$(pip_install) -e '.[dev]'
	@touch $@ $(venv)/.run-stamp $(venv)/.test-stamp
