# `make demo` and `make test` each set up everything that they need; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := demo

export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install build demo test test-long lint lock train-ethanol clean

help:
	@echo "make demo           a trained model in LAMMPS and OpenMM, and a verdict on energy conservation"
	@echo "make test           every test but the long ones"
	@echo "make test-long      physics that takes minutes"
	@echo "make install        the environment $(VENV) only"
	@echo "make build          the plugins for LAMMPS and OpenMM"
	@echo "make lint           ruff"
	@echo "make train-ethanol  make the shipped model anew (an hour on one core)"
	@echo "make clean          remove $(VENV), build and $(DEMO)"

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Type: make PYTHON=python3.11"; exit 3; }
	@echo "Installing into $(VENV): some minutes and, with a CPU build of torch, 1.5 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

install: $(INSTALLED)

build: $(INSTALLED)
	$(BIN)/transip-md build all

demo: build
	@mkdir -p $(DEMO)
	$(BIN)/transip-md export ethanol -o $(DEMO)/ethanol.pt
	$(BIN)/transip-md export ethanol -o $(DEMO)/ethanol32.pt --dtype float32
	$(BIN)/transip-md info $(DEMO)/ethanol.pt
	$(BIN)/transip-md parity $(DEMO)/ethanol.pt examples/ethanol.xyz
	$(BIN)/transip-md parity $(DEMO)/ethanol32.pt examples/ethanol.xyz
	$(BIN)/transip-md nve $(DEMO)/ethanol.pt examples/ethanol.xyz --engine all --dt 0.5 --time 5 --temperature 300 \
	  --seed 1 --out $(DEMO)/nve

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint build
	$(BIN)/pytest -m "not long"

test-long: build
	$(BIN)/pytest -m long

lock: $(INSTALLED)
	@{ sed -n '/^#/p' requirements.lock; \
	   $(BIN)/pip list --format=freeze | grep -v -E '^(transip-md|pip|setuptools)=' | sed 's/+cpu//'; } > requirements.new
	mv requirements.new requirements.lock

train-ethanol: $(INSTALLED)
	$(BIN)/transip-md sample examples/ethanol.xyz -o recipes/ethanol/data/ethanol_600K.extxyz \
	  --teacher gfn2-xtb --temperature 600 --frames 16000 --seed 1
	$(BIN)/transip-md sample examples/ethanol.xyz -o recipes/ethanol/data/ethanol_300K.extxyz \
	  --teacher gfn2-xtb --temperature 300 --frames 1000 --seed 2
	$(BIN)/transip-md train recipes/ethanol/train.yaml -o python/transip_md/shipped/ethanol.ckpt

clean:
	rm -rf $(VENV) build $(DEMO)
