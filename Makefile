# `make` alone lists the targets. You can set these variables:
PYTHON ?=
PORT ?= 8000
ARGS ?=
PYTEST_FLAGS ?=
UVICORN_FLAGS ?=

# Tests run on several workers, unless ARGS names one test with ::. A worker without tests takes
# over some of another's, so a module's tests stay together as far as possible, and share servers.
# Four workers are enough, because each starts services of its own. Two cores are enough for them,
# because a test with a server or a browser mostly waits for it.
workers = $(if $(findstring ::,$(ARGS)),,$(1) --dist worksteal)
four_workers = $(call workers,-n 4)
one_for_each_core = $(call workers,-n auto --maxprocesses 4)

# Containers often set it, and then every worker and every server would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# The order of prerequisites matters: check the port before installing anything.
.NOTPARALLEL:
# Otherwise, a half-installed environment would look complete next time.
.DELETE_ON_ERROR:
.PHONY: help run test test-quick test-all format test-django test-peers check docs dist bench bench-report screenshots clean port-is-free

venv := .venv
python := $(venv)/bin/python
# -qq shows only errors, including the output of a build that failed.
pip_install := $(python) -m pip --disable-pip-version-check install -qq

# The shim of a version manager may be on the path and still fail, so run each candidate.
pyenv_versions := $${PYENV_ROOT:-$$HOME/.pyenv}/versions
candidates := $(PYTHON) python3 python3.13 python3.12 python3.11 python \
	/usr/bin/python3 /usr/local/bin/python3 "$(pyenv_versions)"/3.1[1-9]*/bin/python
usable := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))

# If the environment's interpreter is gone, as after a system upgrade, install everything again.
$(shell test -x $(python) || rm -f $(venv)/.*-stamp)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: port-is-free $(venv)/.run-stamp ## serve the example on http://127.0.0.1:8000 (PORT= for another port)
	@$(python) manage.py migrate --verbosity 0
	@echo "Serving the example on http://127.0.0.1:$(PORT) (Ctrl-C stops it)"
	@exec $(python) -m uvicorn example_project.asgi:application \
		--host 127.0.0.1 --port $(PORT) --lifespan on $(UVICORN_FLAGS)

test: $(venv)/.dev-stamp ## run the tests; skip those whose service is missing (ARGS="-k cors")
	@$(python) -m pytest $(four_workers) $(PYTEST_FLAGS) $(ARGS)

test-quick: $(venv)/.test-stamp ## run the tests that start no server and no browser
	@$(python) -m pytest -m "not process" $(one_for_each_core) $(PYTEST_FLAGS) $(ARGS)

test-all: $(venv)/.dev-stamp ## run the tests; fail if a service is missing
	@REQUIRE_SERVICES=1 $(python) -m pytest $(four_workers) $(PYTEST_FLAGS) $(ARGS)

test-django: $(python) ## run Django's own tests without and with our pool and handler, and compare
	@$(python) -m tests.django_suite

test-peers: $(python) ## run the tests of Starlette and of Channels without and with the stack, and compare
	@$(python) -m tests.peer_suites

format: $(venv)/.dev-stamp ## format the code, and fix what lint can fix
	$(python) -m ruff format
	$(python) -m ruff check --fix

check: $(venv)/.dev-stamp ## check formatting, lint and types
	$(python) -m ruff format --check
	$(python) -m ruff check
	$(python) -m mypy
	$(python) -m pyright --pythonpath $(python)

docs: $(venv)/.docs-stamp ## build the documentation as a site, into .build/docs
	@$(python) -m sphinx --quiet --fail-on-warning --keep-going --jobs auto \
		-c docs -d .build/doctrees . .build/docs
	@echo "Built .build/docs/index.html"

dist: $(venv)/.release-stamp ## build the sdist and the wheel into dist, and check them
	@rm -rf dist
	@$(python) -m build
	@$(python) -m twine check --strict dist/*

bench: $(venv)/.dev-stamp ## compare the middleware with others, as a table
	@$(python) -m benchmarks

bench-report: $(venv)/.dev-stamp ## measure everything, and rewrite docs/benchmarks.md (needs wrk)
	@$(python) -m benchmarks.write

screenshots: $(venv)/.dev-stamp ## take the README's pictures again (needs Chromium)
	@$(python) docs/screenshots.py

clean: ## remove the environment, caches and builds, but not the example's database
	rm -rf $(venv) .build build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Bind as uvicorn does: with SO_REUSEADDR, lingering connections do not count.
port-is-free: $(python)
	@$(python) -c 'import socket; s = socket.socket(); \
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); \
		s.bind(("127.0.0.1", $(PORT)))' 2>/dev/null || { \
		echo "Port $(PORT) on 127.0.0.1 is taken or not allowed; choose another, for example 'make run PORT=8765'." >&2; \
		exit 1; }

$(python):
	@for candidate in $(candidates); do \
		"$$candidate" -c '$(usable)' </dev/null >/dev/null 2>&1 || continue; \
		echo "Creating $(venv) with $$candidate"; \
		exec "$$candidate" -m venv --clear $(venv); \
	done; \
	echo "Found no working Python 3.11 or newer with ensurepip; name one with PYTHON=, or install python3-venv on Debian." >&2; \
	exit 1

$(venv)/.run-stamp: pyproject.toml | $(python)
	@echo "Installing the package and what the example needs"
	@$(pip_install) -e '.[example]'
	@touch $@

$(venv)/.test-stamp: pyproject.toml | $(python)
	@echo "Installing the package and what its quick tests need"
	@$(pip_install) -e '.[test]'
	@touch $@

$(venv)/.docs-stamp: pyproject.toml | $(python)
	@echo "Installing the package and what its documentation needs"
	@$(pip_install) -e '.[docs]'
	@touch $@

$(venv)/.release-stamp: pyproject.toml | $(python)
	@echo "Installing what builds and checks a release"
	@$(pip_install) -e '.[release]'
	@touch $@

# The dev extra includes what the example and the quick tests need.
$(venv)/.dev-stamp: pyproject.toml | $(python)
	@echo "Installing the package, the tools, and what all tests need"
	@$(pip_install) -e '.[dev]'
	@touch $@ $(venv)/.run-stamp $(venv)/.test-stamp
