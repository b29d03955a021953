# Every target sets up what it needs. `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0
STAMP  := $(VENV)/.uhrqa-setup
PYTEST ?= $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz check lint type format bench train-tiny bench-synth bench-distill bench-loading bench-raster bench-eval test-gpu test-lmms test-vlmeval bench-gpu clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## virtual environment with the pinned packages and uhrqa itself

# torch is named first and with its version: a CPU wheel of that version counts as the same.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt "$(TORCH)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## write an 8192 x 8192 scene and ask the embedded model three questions
	@UHRQA_CACHE=.cache $(BIN)/python -m uhrqa.cli.demo

test: setup ## the default test suite, one process a core
	$(PYTEST) -n auto --maxprocesses 4 --dist worksteal

fuzz: setup ## 50,000 damaged images in turn; prints what is wrong
	UHRQA_MUTATIONS=50000 $(PYTEST) tests/raster/test_hostile.py -k damaged

check: lint type test ## what CI runs

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup ## mypy --strict on the package
	$(BIN)/mypy

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## reading from 4k to 16k, choosing among 131,328 tokens, against plain procedures
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.selection --lloyd
	$(BIN)/python -m benchmarks.peers_plain

train-tiny: setup ## train the embedded model; stops and continues; about 45 minutes on 2 free cores
	$(BIN)/python -m uhrqa.training.tiny

bench-synth: setup ## the embedded model on drawn scenes, by strategy and budget; goes on where it stopped
	@mkdir -p .cache
	$(BIN)/uhrqa eval synth -o .cache/synth.jsonl --plot .cache/synth.svg --markdown .cache/synth.md

bench-distill: setup ## distil the embedded model's module in ten ways; goes on where it stopped
	$(BIN)/python -m benchmarks.distill

bench-loading: setup ## memory and seconds for loading a checkpoint of 3 GB
	$(BIN)/python -m benchmarks.loading

bench-raster: setup ## rasters against the codecs' limit, rasterio and pyvips; SIDE=16500 for a large one
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[interop]'
	$(BIN)/python -m benchmarks.raster_peers --side $(or $(SIDE),8192)

bench-eval: setup ## seconds for scoring 7,333 answers; seconds and memory for an index of 100,000 questions
	$(BIN)/python -m benchmarks.scoring

test-gpu: setup ## the tests that need a CUDA device
	$(PYTEST) -m gpu

# torchvision for CUDA breaks transformers beside a CPU wheel of torch; nothing here needs it.
test-lmms: ## the lmms-eval plug-in, in an environment of its own (lmms-eval brings 200 packages)
	@test -x $(VENV)-lmms/bin/python || $(PYTHON) -m venv $(VENV)-lmms
	$(VENV)-lmms/bin/python -m pip install --quiet -c constraints.txt "$(TORCH)"
	$(VENV)-lmms/bin/python -m pip install --quiet -c constraints.txt -e '.[dev,lmms]'
	$(VENV)-lmms/bin/python -c 'import torchvision' 2>/dev/null || \
		$(VENV)-lmms/bin/python -m pip uninstall --quiet --yes torchvision
	$(VENV)-lmms/bin/python -m pytest tests/integrations -W default

# conftest imports transformers, which breaks where torchvision does; the test mends it for its own.
test-vlmeval: ## VLMEvalKit's run.py on our exports, in an environment of its own (170 packages)
	@test -x $(VENV)-vlmeval/bin/python || $(PYTHON) -m venv $(VENV)-vlmeval
	$(VENV)-vlmeval/bin/python -m pip install --quiet -c constraints.txt "$(TORCH)"
	$(VENV)-vlmeval/bin/python -m pip install --quiet -c constraints.txt -e '.[dev,vlmeval]'
	$(VENV)-vlmeval/bin/python -m pytest --noconftest tests/integrations/test_vlmevalkit.py -W default

bench-gpu: setup ## shapes of 7B and 8B models on a CUDA device: stages beside their floor, plain procedures
	$(BIN)/python -m benchmarks.gpu

clean: ## remove the virtual environment and what tools left behind
	rm -rf $(VENV) $(VENV)-lmms $(VENV)-vlmeval build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
