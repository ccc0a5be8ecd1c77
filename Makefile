# Every target sets itself up from a bare Python 3.11+ with pip. `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
FOR ?= 60s
SEED ?= 1
# What `make soak` sends: records straight into the topics, and lines of a capture.
RECORDS ?= 200000
FRAMES ?= 1000000
ARGS ?=
# Tests at a time: twice the cores of a small machine, since most tests wait. Each worker has servers of its own.
WORKERS ?= 4

PYTEST = $(BIN)/pytest -n $(WORKERS) --dist worksteal
TEST := not kafka and not postgres and not promtool and not kube and not browser and not faults
UNIT := $(TEST) and not server

# Where it is set, every one of some thousand processes would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test unit test-python test-real kube test-kube test-browser test-faults soak prove coverage lint words bench wheel release settings pictures clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Run the whole pipeline on this machine and show it (FOR=60s)
	$(BIN)/stockctl local demo --for $(FOR)

test: $(VENV)/.test ## Run the tests that need pip alone (ARGS="-k lake")
	$(PYTEST) -m "$(TEST)" $(ARGS)

unit: $(VENV)/.test ## Run the tests that need no server
	$(PYTEST) -m "$(UNIT)" $(ARGS)

test-python: $(VENV)/.test ## Run what another Python can change (PYTHON=python3.13 VENV=.venv-3.13)
	HYPOTHESIS_PROFILE=small $(PYTEST) -m "$(UNIT) and not process" --ignore tests/infra --ignore tests/local $(ARGS)

test-real: $(VENV)/.test ## Run the tests on Apache Kafka, PostgreSQL and promtool; needs a JDK 17+, Maven, and the other two
	$(PYTEST) -m "kafka or postgres or promtool" tests/real $$(grep -rlE 'mark\.(kafka|postgres|promtool)' tests --include='*.py') $(ARGS)

kube: $(VENV)/.test ## Build Kubernetes' API server for the tests: once, 6 to 13 minutes; needs Go
	$(BIN)/python -m tests.kube.build

test-kube: kube ## Run the tests on Kubernetes' API server
	$(PYTEST) -m kube tests/kube $(ARGS)

# One after the other: they share a pipeline and a browser, which take both cores.
test-browser: $(VENV)/.test ## Run the tests of the dashboard's page in a browser; needs Chromium
	$(BIN)/pytest -m browser tests/dashboard $(ARGS)

test-faults: $(VENV)/.test ## Inject faults into feeds, writers, brokers and stores, and count the records; as test-real, with a C compiler
	$(PYTEST) -m faults tests/faults $(ARGS)

soak: $(VENV)/.test ## Inject random faults for as long as you like, then send hostile records and lines (FOR=10m, SEED=2)
	SOAK=$(FOR) SEED=$(SEED) $(BIN)/pytest tests/faults/test_mix.py
	SEED=$(SEED) RECORDS=$(RECORDS) FRAMES=$(FRAMES) $(BIN)/pytest --timeout 7200 tests/mongo/test_valid_records.py

prove: kube ## Prove for hours what .ci/run proves in minutes; needs all that .ci/run needs
	HYPOTHESIS_PROFILE=thorough TRADES=1000000 SOAK=20m SEED=$(SEED) $(PYTEST) --real-processes --timeout 7200 $(ARGS)

lint: $(VENV)/.dev words ## Check style, words, spelling, types and the rooms' contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell . .ci/*
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

words: | $(BIN)/python ## Look for words that the project does not use, listed in .ci/words.txt
	$(BIN)/python .ci/words.py

coverage: $(VENV)/.coverage ## Measure which lines `make test` runs, in the commands' processes too
	rm -rf .cache/coverage && mkdir -p .cache/coverage
	$(BIN)/coverage run -m $(PYTEST:$(BIN)/%=%) -m "$(TEST)" $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/.test ## Measure, and print the figures; needs a JDK 17+ and Maven
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

wheel: $(VENV)/.demo ## Build the wheel into dist/
	rm -rf dist
	$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist

release: $(VENV)/.release ## Build and test sdist and wheel of the version that HEAD is tagged with; publishes nothing
	.ci/release

settings: $(VENV)/.demo ## Write docs/settings.md from the settings' model
	$(BIN)/python -m stockctl.settings.reference_page > docs/settings.md

pictures: $(VENV)/.test ## Make the pictures of the dashboard in docs/images; needs Chromium
	$(BIN)/python -m tests.dashboard.pictures

clean: ## Delete the virtual environment and everything built
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Where Python has no ensurepip, as Debian's without python3-venv, its own pip puts pip into the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than 3.11: make PYTHON=/a/newer/python3 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV) \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

# uv, which pip brings unless it is on the PATH, installs in seconds what takes pip a minute. Where it cannot, pip does.
$(VENV)/.uv: | $(BIN)/python
	@command -v uv >/dev/null || $(PIP) install uv || echo "cannot install uv: pip installs, more slowly"
	@touch $@

install = @echo "installing $(1) into $(VENV)"; PATH="$$PATH:$(BIN)"; \
	if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python $(1) && exit; echo "uv cannot: pip tries"; fi; \
	$(PIP) install --upgrade "pip>=25.1" && $(PIP) install $(1)

$(VENV)/.demo: pyproject.toml | $(VENV)/.uv
	$(call install,--editable .[local])
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.demo
	$(call install,--group test)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.test
	$(call install,--group dev)
	@touch $@

$(VENV)/.coverage: pyproject.toml | $(VENV)/.test
	$(call install,--group coverage)
	@touch $@

$(VENV)/.release: pyproject.toml | $(VENV)/.test
	$(call install,--group release)
	@touch $@
