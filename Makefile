# newsquake: `make demo` shows it at work, `make test` proves it. Everything is installed in .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format types model refit lock clean

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## install the locked packages and newsquake itself into .venv

$(READY): requirements.lock pyproject.toml deploy/setup.py
	$(PYTHON) deploy/setup.py
	@touch $@

demo: $(READY)  ## run the whole daemon on three invented days (ARGS=--exit ends after the last item)
	$(BIN)/newsquake demo $(ARGS)

test: $(READY)  ## run the tests (ARGS are handed to pytest)
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## bring the code into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## check types, strictly
	$(BIN)/mypy

DATA ?= ../shared/data
OUT ?= runs/default
model: $(READY)  ## train the shipped model anew from DATA into OUT/student (hours without a GPU)
	$(BIN)/newsquake trainer fit --recipe default --data $(DATA) --out $(OUT)/teacher
	$(BIN)/newsquake trainer distil --recipe default --data $(DATA) --model path:$(OUT)/teacher --blend 0.3 \
	  --fill sentiment --fill topic --out $(OUT)/taught
	$(BIN)/newsquake trainer fit --recipe $(OUT)/taught/recipe.toml --data $(OUT)/taught --out $(OUT)/student \
	  --licence Apache-2.0

refit: $(READY)  ## after `make model`: the same with the held-out rows too, into OUT/refit: the weights that ship
	$(BIN)/newsquake trainer distil --recipe default --data $(DATA) --model path:$(OUT)/teacher --blend 0.3 \
	  --fill sentiment --fill topic --refit --out $(OUT)/taught-refit
	$(BIN)/newsquake trainer fit --recipe $(OUT)/taught-refit/recipe.toml --data $(OUT)/taught-refit \
	  --refit --measured path:$(OUT)/student --out $(OUT)/refit --licence Apache-2.0

lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --group dev --generate-hashes \
	  --no-annotate --no-header --quiet --output-file requirements.lock

clean:  ## remove .venv and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
