# Commands of this project. Everything is installed into .venv below this folder; nothing outside it is changed.
# Needs: Python 3.11, 3.12 or 3.13 with venv, and a package index (for the first installation).

PYTHON ?= python3
# `make constraints` resolves for each of these; the first, the oldest supported one, decides the versions.
PYTHONS ?= python3.11 python3.12 python3.13

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ALL_EXTRAS := s3,postgres,demo,dev
VENV_MADE := $(VENV)/pyvenv.cfg
STAMP_DEMO := $(VENV)/.installed-demo
STAMP_ALL := $(VENV)/.installed-all
LIBRARY ?= demo/library
# More arguments for pytest, for example: make test ARGS="-x -k sensor"
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the commands
	@echo "Usage: make COMMAND [PYTHON=python3.12]"
	@echo
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  %-18s  %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(STAMP_DEMO) ## Install, build a sample library, run it through a real Dagster and show the result
	$(BIN)/python -m media_assets.demo

.PHONY: serve
serve: $(STAMP_DEMO) ## Open the Dagster UI on the library of the demo (LIBRARY=folder for another one)
	$(BIN)/media-assets serve --library "$(LIBRARY)"

.PHONY: test
test: $(STAMP_ALL) ## Run the fast tests
	$(BIN)/python -m pytest -m "not integration and not e2e" $(ARGS)

.PHONY: lint
lint: $(STAMP_ALL) ## Check style, layers and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: $(STAMP_ALL) ## Check types
	$(BIN)/mypy

.PHONY: integration
integration: $(STAMP_ALL) ## Run the tests that need a real server or several processes (minutes)
	$(BIN)/python -m pytest -m "integration and not e2e" $(ARGS)

.PHONY: hub
hub: $(STAMP_ALL) ## Run the tests of the hub tier; installs torch and transformers (large) into .venv
	$(PIP) install -q -c constraints.txt torch==2.13.0 -e '.[hub]'
	$(BIN)/python -m pytest media_assets_tests/integration/test_hub_models.py media_assets_tests/integration/test_hub_download.py \
	  $(ARGS)

.PHONY: e2e
e2e: $(STAMP_ALL) ## Run the tests with the real daemon, web server and a headless Chromium (minutes)
	$(BIN)/python -m pytest -m e2e $(ARGS)

.PHONY: bench-bookkeeping
bench-bookkeeping: $(STAMP_ALL) ## Measure what Dagster's records cost for each file (ARGS="--partitions 1000,20000,100000")
	$(BIN)/python -m media_assets_tests.bench.bookkeeping_events $(ARGS)

.PHONY: bench-ui
bench-ui: $(STAMP_ALL) ## Measure how soon pages of the UI are there with 50,000 partitions (ARGS="--partitions 100000")
	$(BIN)/python -m media_assets_tests.bench.ui_scale $(ARGS)

.PHONY: bench-runs
bench-runs: $(STAMP_ALL) ## Measure what a real service costs for each file, in ranged runs and with one run for each
	$(BIN)/python -m media_assets_tests.bench.bookkeeping $(ARGS)

.PHONY: bench-metadata
bench-metadata: $(STAMP_ALL) ## Measure files a second of type, checksum and metadata against exifread and exiftool
	$(BIN)/python -m media_assets_tests.bench.metadata_speed

.PHONY: bench-renditions
bench-renditions: $(STAMP_ALL) ## Measure renditions, alone and through Dagster, against pyvips, Pillow and a bare script
	$(BIN)/python -m media_assets_tests.bench.renditions $(ARGS)

.PHONY: bench-web-versions
bench-web-versions: $(STAMP_ALL) ## Measure size and similarity of the web versions (ARGS="--corpus DIR --sheet DIR")
	$(BIN)/python -m media_assets_tests.bench.web_versions $(ARGS)

.PHONY: bench-crops
bench-crops: $(STAMP_ALL) ## Measure how much of faces and things squares keep, on the shared pictures (ARGS="--sheet DIR")
	$(BIN)/python -m media_assets_tests.bench.crops $(ARGS)

.PHONY: bench-pool
bench-pool: $(STAMP_ALL) ## Measure what the isolation of the decoders costs
	$(BIN)/python -m media_assets_tests.bench.pool_overhead

.PHONY: score-metadata
score-metadata: $(STAMP_ALL) ## Score formats, metadata and verdicts on the shared corpus (../shared or MEDIA_ASSETS_SHARED)
	$(BIN)/python -m media_assets_tests.bench.score_metadata $(ARGS)

.PHONY: score-vision
score-vision: $(STAMP_ALL) ## Score faces, people, objects, labels, text and safety on labelled pictures (../shared or MEDIA_ASSETS_SHARED)
	$(BIN)/python -m media_assets_tests.bench.score_vision $(ARGS)

.PHONY: score-privacy
score-privacy: $(STAMP_ALL) ## Score what is left of faces, identity and metadata in copies that may be shared (../shared or MEDIA_ASSETS_SHARED)
	$(BIN)/python -m media_assets_tests.bench.score_privacy $(ARGS)

.PHONY: bench-vision
bench-vision: $(STAMP_ALL) ## Measure pictures a second of the analysis against the bare models in a loop, and its memory
	$(BIN)/python -m media_assets_tests.bench.vision_speed $(ARGS)

.PHONY: bench-search
bench-search: $(STAMP_ALL) ## Measure search by picture: recall of the approximate index, time to build and to ask
	$(BIN)/python -m media_assets_tests.bench.search_recall $(ARGS)

.PHONY: fuzz
fuzz: $(STAMP_ALL) ## Feed mutated files to the pipeline: MINUTES=10, SECONDS=60, ARGS="--seed 7 --start 12 --count 1"
	$(BIN)/python -m media_assets_tests.bench.fuzz $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

.PHONY: torture
torture: $(STAMP_ALL) ## Kill, disturb and fill a real service while files arrive by S3: MINUTES=3 SEED=7 BACKEND=seaweedfs
	$(BIN)/python -m media_assets_tests.torture $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(BACKEND),--backend $(BACKEND)) $(ARGS)

.PHONY: bench-arrival
bench-arrival: $(STAMP_ALL) ## Measure how soon a new file has its thumbnails while a backfill runs (ARGS="--files 5000")
	$(BIN)/python -m media_assets_tests.bench.arrival_latency $(ARGS)

.PHONY: bench-inbox
bench-inbox: $(STAMP_ALL) ## Measure what an inbox of a million objects costs (ARGS="--objects 100000", "--postgres")
	$(BIN)/python -m media_assets_tests.bench.inbox_scale $(ARGS)

.PHONY: docs
docs: $(STAMP_DEMO) ## Write the pages of docs/ that are generated from the code anew
	@mkdir -p build
	$(BIN)/python -m media_assets.storage.dictionary > build/tables.md
	$(BIN)/python -m media_assets.settings_reference > build/configuration.md
	$(BIN)/python -m media_assets.media.trust_reference > build/sources.md
	$(BIN)/python -m media_assets.models_reference docs/models.md
	mv build/tables.md build/configuration.md build/sources.md docs/

.PHONY: constraints
constraints: ## Resolve every dependency anew, on each supported Python, into constraints.txt
	@set -eu; work=build/constraints; rm -rf "$$work"; mkdir -p "$$work"; : > "$$work/pins"; \
	for python in $(PYTHONS); do \
	  echo "Resolving on $$python ..."; \
	  "$$python" -m venv "$$work/venv"; \
	  "$$work/venv/bin/python" -m pip --disable-pip-version-check install -q -c "$$work/pins" '.[$(ALL_EXTRAS)]'; \
	  "$$work/venv/bin/python" -m pip --disable-pip-version-check freeze --exclude media_assets > "$$work/freeze"; \
	  LC_ALL=C sort -fu "$$work/freeze" "$$work/pins" > "$$work/merged"; \
	  mv "$$work/merged" "$$work/pins"; \
	  rm -rf "$$work/venv"; \
	done; \
	{ sed -n '/^#/p' constraints.txt; cat "$$work/pins"; } > "$$work/constraints.txt"; \
	mv "$$work/constraints.txt" constraints.txt; \
	echo "constraints.txt now pins $$(grep -c == constraints.txt) packages. Run: make test"

.PHONY: clean
clean: ## Remove what these commands made: .venv, demo/, artifacts/, caches
	rm -rf $(VENV) demo artifacts build dist media_assets.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP_DEMO): $(VENV_MADE) pyproject.toml setup.cfg constraints.txt
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) install -q -c constraints.txt -e '.[demo]'
	@touch $@

$(STAMP_ALL): $(VENV_MADE) pyproject.toml setup.cfg constraints.txt
	@echo "Installing with every extra into $(VENV) (a few minutes the first time) ..."
	$(PIP) install -q -c constraints.txt -e '.[$(ALL_EXTRAS)]'
	@touch $@

# The Python that the venv points to may have been removed or upgraded away.
ifneq ($(shell test -x $(BIN)/python && echo usable),usable)
.PHONY: $(VENV_MADE)
endif

# From nothing each time: made over an old one, it would keep the packages of another Python. A venv without pip (Debian
# without python3-venv) is removed again, or the next call would take it for a good one.
$(VENV_MADE):
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "There is no command $(PYTHON). Install Python 3.11, 3.12 or 3.13, or name it: make demo PYTHON=python3.12" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." \
	    "Name another one: make demo PYTHON=python3.12" >&2; exit 1; }
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
