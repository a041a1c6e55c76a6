# The front door. `make` alone lists what it opens.
PYTHON    ?= python3
TORCH     := torch==2.13.0
LMMS_EVAL := lmms_eval==0.7.3
# Debian packages that some tests use; without them these tests are skipped and named.
DEBIAN    := chromium

PY    := .venv/bin/python
PIP   := $(PY) -m pip --disable-pip-version-check --quiet
READY := .venv/.ready
TOOLS := .venv/.test-tools
WORLD ?= drawn
RUN   ?= runs/demo

flag = $(if $($(2)),$(1) "$($(2))")
# A target's missing variable is reported before anything is installed.
need = $(if $(filter $(1),$(MAKECMDGOALS)),$(if $($(2)),,$(error make $(1): $(2) is missing. Example: $(3))))
$(call need,eval,MODEL,make eval MODEL=runs/demo/mlp-pt-it/model DATA=runs/demo/data/benchmarks)
$(call need,ppl,MODEL,make ppl MODEL=runs/demo/mlp-long/model DATA=runs/demo/data/benchmarks/swap-uniba/WILD_IT)
$(call need,ppl,DATA,make ppl MODEL=runs/demo/mlp-long/model DATA=runs/demo/data/benchmarks/swap-uniba/WILD_IT)
$(call need,compare,MODELS,make compare MODELS="IT PT+IT" RUN=runs/demo)

.DEFAULT_GOAL := help
.PHONY: help setup demo test eval ppl compare report lint format lock clean debian-packages

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make the environment .venv (PYTHON= chooses the interpreter, 3.10 to 3.12)
	@$(PY) -m ndino.upstream link

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "make: '$(PYTHON)' is not Python 3.10, 3.11 or 3.12. Remedy: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: '$(PYTHON)' cannot make environments. Remedy: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || { echo "Making .venv ..."; $(PYTHON) -m venv --clear .venv; }
	@# pip writes a package's list of files last: without it an earlier installation was cut off.
	@$(PY) -c 'from importlib.metadata import files; assert files("torch")' 2>/dev/null || { echo "Installing $(TORCH) ..."; \
	  if [ -e /dev/nvidia0 ] || nvidia-smi -L >/dev/null 2>&1; then $(PIP) install '$(TORCH)'; \
	  else $(PIP) install --no-deps --retries 0 --timeout 15 --index-url https://download.pytorch.org/whl/cpu '$(TORCH)' \
	         2>/dev/null || { echo "PyTorch's CPU index is out of reach: taking $(TORCH) from the usual index."; \
	         $(PIP) install '$(TORCH)'; }; fi; }
	@echo "Installing the other packages ..."
	@$(PIP) install -c constraints.txt --editable '.[train,eval]'
	@$(PIP) install --no-deps '$(LMMS_EVAL)'
	@touch $@

$(TOOLS): $(READY)
	@echo "Installing the test tools ..."
	@$(PIP) install -c constraints.txt --editable '.[train,eval,test]'
	@touch $@

demo: setup ## train, score and compare the miniature family (FAST=1 proves the plumbing; WORLD=drawn|stamps, SEED=)
	@$(PY) -m miniature.demo --world "$(WORLD)" $(if $(filter-out 0,$(FAST)),--fast) $(call flag,--seed,SEED)

test: setup $(TOOLS) debian-packages lint ## check style and run every test this machine can run
	@$(PY) -m pytest

debian-packages:
	@missing=$$(for p in $(DEBIAN); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || printf ' %s' $$p; done); \
	  if [ -z "$$missing" ]; then :; \
	  elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing these Debian packages for the tests:$$missing"; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; } \
	      >/dev/null || echo "They could not be installed; the tests that need them are skipped and named at the end."; \
	  else echo "Not installed, and only root can:$$missing. The tests that need them are skipped and named at the end."; fi

eval: setup ## score MODEL= on the Italian tasks (TASKS= DATA= LIMIT= BATCH= BACKEND= OUT= SHUFFLE=1)
	@$(PY) -m ndino.evaluate $(call flag,--model,MODEL) $(call flag,--tasks,TASKS) $(call flag,--data,DATA) \
	  $(call flag,--limit,LIMIT) $(call flag,--batch,BATCH) $(call flag,--backend,BACKEND) $(call flag,--out,OUT) \
	  $(if $(filter-out 0,$(SHUFFLE)),--shuffle)

ppl: setup ## perplexity of MODEL= on the answers of DATA= (IMAGES= SPLIT= ANSWER= QUESTION= BATCH= LIMIT= OUT= SHUFFLE=1)
	@$(PY) evaluate_ppl.py $(call flag,--model,MODEL) $(call flag,--data,DATA) $(call flag,--images-dir,IMAGES) \
	  $(call flag,--split,SPLIT) $(call flag,--answer-field,ANSWER) $(call flag,--question-field,QUESTION) \
	  $(call flag,--batch,BATCH) $(call flag,--limit,LIMIT) $(call flag,--out,OUT) \
	  $(if $(filter-out 0,$(SHUFFLE)),--shuffle)

compare: setup ## scores and paired tests of MODELS="a b" of RUN= (default runs/demo)
	@$(PY) -m ndino.results compare "$(RUN)" --models $(MODELS)

report: setup ## write the tables and the page of RUN= (default runs/demo)
	@$(PY) -m ndino.results report "$(RUN)"

lint: $(TOOLS) ## ruff check and ruff format --check
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: $(TOOLS) ## put the code into the house's format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

lock: ## renew constraints.txt from pyproject.toml (keeps pins that still fit)
	@$(PYTHON) -m venv .cache/lock && .cache/lock/bin/python -m pip install --quiet uv
	@.cache/lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 --quiet \
	  --no-annotate --no-header --no-emit-index-url --output-file constraints.txt
	@# What a CUDA build of torch brings along is that build's business, and a CPU machine must not be sent to it.
	@sed -i -E '/^(nvidia|cuda|triton)/d' constraints.txt

clean: ## remove the environment and the caches; runs/ stays
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
