# `make demo` and `make test` each set up everything that they need; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCHFORCE := .venv-torchforce
INSTALLED := $(VENV)/.installed
DEMO := demo
JOBS ?= 2
FOLDER ?= recipes/organic/data/broad

export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What tests compile is kept here.
export TRANSIP_MD_TEST_BUILD ?= $(CURDIR)/build/tests

.PHONY: help install build demo test pytest coverage docs fresh test-long test-torchforce lint lock train-ethanol train-organic train-organic-broad train-organic-large train-water train-water-broad learned-symmetry learned-symmetry-many stability symmetry reports gpu-bundle gpu-train organic-molecules organic-data clean

help:
	@echo "make demo           a trained model in LAMMPS and OpenMM, and a verdict on energy conservation"
	@echo "make test           every test but the long ones"
	@echo "make coverage       the same tests, and which lines of the package they run; fails below the floor of pyproject.toml"
	@echo "make fresh          the demo and the tests as on a stranger's machine, and how long they take"
	@echo "make test-long      physics that takes minutes"
	@echo "make test-torchforce  OpenMM through openmmtorch, in an environment of its own (7 GB)"
	@echo "make install        the environment $(VENV) only"
	@echo "make build          the plugins for LAMMPS and OpenMM"
	@echo "make lint           ruff"
	@echo "make docs           the documentation as a site, into build/site; warnings are errors"
	@echo "make train-NAME     train ethanol, organic, organic-broad, organic-large, water or water-broad (hours on one core)"
	@echo "make organic-molecules  the broad list of organic molecules anew, from its fragments"
	@echo "make organic-data   some 25,000 frames of the broad list, labelled with GFN2-xTB (hours on one core)"
	@echo "make learned-symmetry  what learns rotational symmetry best: a table (two hours on one core)"
	@echo "make learned-symmetry-many  plain RoPE on 1,269 molecules and 120,000 frames, labelled first (four hours on one core)"
	@echo "make symmetry       what exact symmetry costs and what it does: tables and plots (an hour on one core)"
	@echo "make stability      do the shipped models survive molecular dynamics: two tables (an hour on one core)"
	@echo "make reports        validation and energy conservation of the shipped models, into docs/reports"
	@echo "make gpu-bundle     what scripts/gpu_check.sh needs on a CUDA machine without network, in one file"
	@echo "make gpu-train      RECIPE=FILE: a recipe and its data for scripts/gpu_train.sh there, which resumes"
	@echo "make clean          remove $(VENV), $(TORCHFORCE), build and $(DEMO)"

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Type: make PYTHON=python3.11"; exit 3; }
	@echo "Installing into $(VENV): some minutes and, with a CPU build of torch, 1.5 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

install: $(INSTALLED)

# The tests take what is compiled here.
build: $(INSTALLED)
	$(BIN)/transip-md build all --folder $(TRANSIP_MD_TEST_BUILD)/cmake

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
	$(BIN)/mypy

# Warnings of the compiler are errors, unless a demo compiled before.
test: export CXXFLAGS ?= -Werror
test: build
	+@$(MAKE) --no-print-directory --jobs 2 lint pytest

# Two processes; one that has nothing left takes tests from the other. The slowest tests are printed.
pytest: $(INSTALLED)
	$(BIN)/pytest -m "not long" -n $(JOBS) --dist worksteal --durations 25

# Counting lines costs Python code almost half as much again before Python 3.12, whose sys.monitoring is cheap: so not in
# `make test`. Processes that tests start are not counted.
coverage: export COVERAGE_CORE ?= $(shell $(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')
coverage: build
	$(BIN)/pytest -m "not long" -n $(JOBS) --dist worksteal --cov --cov-report=term:skip-covered

# The reference is generated from the code, so the package must be importable; no plugin is needed. With --quiet MkDocs
# would not count warnings.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

# What a stranger would see: a fresh clone, an empty home, pip as it comes. Options of pip go into FRESH, as in
#   make fresh FRESH='PIP_EXTRA_INDEX_URL=https://... PIP_INDEX_URL=https://...'
fresh:
	scripts/fresh.sh $(FRESH)

test-long: build
	$(BIN)/pytest -m long

# openmmtorch goes with one version of torch, with CUDA libraries even where there is no CUDA.
$(TORCHFORCE)/.installed: requirements.lock pyproject.toml
	@echo "Installing torch 2.9 and openmmtorch into $(TORCHFORCE): some minutes and 7 GB"
	$(PYTHON) -m venv $(TORCHFORCE)
	grep -v -i -E '^(torch|openmm)==' requirements.lock > $(TORCHFORCE)/constraints.txt
	$(TORCHFORCE)/bin/pip install --quiet -c $(TORCHFORCE)/constraints.txt hatchling editables pytest
	$(TORCHFORCE)/bin/pip install --quiet -c $(TORCHFORCE)/constraints.txt --no-build-isolation -e '.[torchforce]'
	@touch $@

test-torchforce: $(TORCHFORCE)/.installed
	TRANSIP_MD_REQUIRE_TORCHFORCE=1 $(TORCHFORCE)/bin/python -m pytest tests/openmm/test_torchforce.py

lock: $(INSTALLED)
	@{ sed -n '/^#/p' requirements.lock; \
	   $(BIN)/pip list --format=freeze | grep -v -E '^(transip-md|pip|setuptools)=' | sed 's/+cpu//'; } > requirements.new
	mv requirements.new requirements.lock

ETHANOL := recipes/ethanol
train-ethanol: $(INSTALLED)
	$(BIN)/transip-md sample examples/ethanol.xyz -o $(ETHANOL)/data/ethanol_600K.extxyz \
	  --teacher gfn2-xtb --temperature 600 --frames 16000 --seed 1
	$(BIN)/transip-md sample examples/ethanol.xyz -o $(ETHANOL)/data/ethanol_300K.extxyz \
	  --teacher gfn2-xtb --temperature 300 --frames 1000 --seed 2
	$(BIN)/transip-md sample examples/ethanol.xyz -o $(ETHANOL)/data/ethanol_low_300K.extxyz \
	  --teacher gfn2-xtb --temperature 300 --frames 4000 --seed 3
	$(BIN)/transip-md sample examples/ethanol.xyz -o $(ETHANOL)/data/far --teacher gfn2-xtb \
	  --temperature 1200 --stop-at-dissociation --frames 3000 --seed 1
	$(BIN)/transip-md sample examples/ethanol.xyz -o $(ETHANOL)/data/far --teacher gfn2-xtb \
	  --scan bonds --scan torsions --frames 2400 --seed 1
	$(BIN)/transip-md sample examples/ethanol.xyz -o $(ETHANOL)/data/far --teacher gfn2-xtb \
	  --compress --frames 1000 --seed 1
	$(BIN)/python recipes/organic_broad/pairs.py $(ETHANOL)/data/pairs/structures H C O
	$(BIN)/transip-md sample $(ETHANOL)/data/pairs/structures -o $(ETHANOL)/data/pairs --teacher gfn2-xtb --dimers atoms \
	  --frames 150 --seed 1
	$(BIN)/python $(ETHANOL)/far_pairs.py $(ETHANOL)/data/pairs
	cat $(ETHANOL)/data/pairs/*_pair.extxyz $(ETHANOL)/data/pairs/*_far.extxyz > $(ETHANOL)/data/pairs.extxyz
	$(BIN)/python recipes/organic_broad/select_frames.py $(ETHANOL)/data/pairs.extxyz $(ETHANOL)/data/selected_pairs.extxyz \
	  --largest-force 60 --no-spin
	$(BIN)/transip-md train $(ETHANOL)/train.yaml -o $(ETHANOL)/data/first.ckpt
	$(BIN)/transip-md train $(ETHANOL)/second.yaml -o $(ETHANOL)/data/second.ckpt
	$(BIN)/transip-md train $(ETHANOL)/third.yaml -o python/transip_md/shipped/ethanol.ckpt

train-organic: $(INSTALLED)
	$(BIN)/transip-md sample recipes/organic/structures -o recipes/organic/data/train --teacher gfn2-xtb \
	  --temperature 300 --frames 250 --stride 10 --seed 1 --jobs 2
	$(BIN)/transip-md sample recipes/organic/structures -o recipes/organic/data/train --teacher gfn2-xtb \
	  --temperature 550 --temperature 800 --frames 400 --stride 10 --seed 1 --jobs 2
	$(BIN)/transip-md sample recipes/organic/structures -o recipes/organic/data/test --teacher gfn2-xtb \
	  --temperature 300 --frames 100 --stride 10 --seed 2 --jobs 2
	$(BIN)/transip-md sample recipes/organic/held_out -o recipes/organic/data/held_out --teacher gfn2-xtb \
	  --temperature 300 --frames 100 --stride 10 --seed 1 --jobs 2
	@mkdir -p recipes/organic/data/more
	$(BIN)/transip-md sample recipes/organic/structures/ethanol.xyz -o recipes/organic/data/more/ethanol_300.extxyz \
	  --teacher gfn2-xtb --temperature 300 --frames 1500 --stride 10 --seed 3
	$(BIN)/transip-md sample recipes/organic/structures/ethanol.xyz -o recipes/organic/data/more/ethanol_550.extxyz \
	  --teacher gfn2-xtb --temperature 550 --frames 1500 --stride 10 --seed 3
	@mkdir -p recipes/organic/data/ethanol
	$(BIN)/transip-md sample recipes/organic/structures/ethanol.xyz -o recipes/organic/data/ethanol/ethanol_300.extxyz \
	  --teacher gfn2-xtb --temperature 300 --frames 3000 --stride 10 --seed 4
	$(BIN)/transip-md train recipes/organic/train.yaml -o recipes/organic/data/first.ckpt
	$(BIN)/transip-md train recipes/organic/second.yaml -o recipes/organic/data/second.ckpt
	$(BIN)/transip-md train recipes/organic/third.yaml -o recipes/organic/data/third.ckpt
	$(BIN)/transip-md train recipes/organic/fourth.yaml -o recipes/organic/data/fourth.ckpt
	$(BIN)/transip-md sample recipes/organic/structures -o recipes/organic/data/modes --teacher gfn2-xtb \
	  --normal-modes 300 --normal-modes 600 --frames 250 --seed 1 --jobs 2
	$(BIN)/transip-md sample recipes/organic/structures -o recipes/organic/data/far --teacher gfn2-xtb \
	  --scan bonds --frames 200 --seed 1 --jobs 2
	$(BIN)/transip-md sample recipes/organic/structures -o recipes/organic/data/far --teacher gfn2-xtb \
	  --compress --frames 40 --seed 1 --jobs 2
	@mkdir -p recipes/organic/data/low
	$(BIN)/transip-md sample examples/ethanol.xyz -o recipes/organic/data/low/ethanol_300K.extxyz \
	  --teacher gfn2-xtb --temperature 300 --frames 4000 --seed 3
	$(BIN)/python recipes/organic_broad/pairs.py recipes/organic/data/pairs/structures H C N O
	$(BIN)/transip-md sample recipes/organic/data/pairs/structures -o recipes/organic/data/pairs --teacher gfn2-xtb \
	  --dimers atoms --frames 150 --seed 1 --jobs 2
	$(BIN)/python recipes/ethanol/far_pairs.py recipes/organic/data/pairs
	cat recipes/organic/data/pairs/*_pair.extxyz recipes/organic/data/pairs/*_far.extxyz > recipes/organic/data/pairs.extxyz
	$(BIN)/python recipes/organic_broad/select_frames.py recipes/organic/data/pairs.extxyz \
	  recipes/organic/data/selected_pairs.extxyz --largest-force 100 --no-spin
	$(BIN)/transip-md train recipes/organic/fifth.yaml -o recipes/organic/data/fifth.ckpt
	$(BIN)/transip-md train recipes/organic/sixth.yaml -o python/transip_md/shipped/organic.ckpt

BROAD := recipes/organic_broad
train-organic-broad: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/organic/label.sh $(BROAD)/data $(JOBS) held_out train held_out_300
	$(BIN)/python $(BROAD)/select_frames.py $(BROAD)/data/train.extxyz $(BROAD)/data/selected.extxyz \
	  --most-atoms 64 --largest-force 40
	$(BIN)/transip-md train $(BROAD)/train.yaml -o $(BROAD)/data/first.ckpt
	$(BIN)/transip-md train $(BROAD)/second.yaml -o $(BROAD)/data/second.ckpt
	$(BIN)/transip-md train $(BROAD)/third.yaml -o $(BROAD)/data/third.ckpt
	$(BIN)/python $(BROAD)/pairs.py $(BROAD)/data/pairs/structures H C N O F S Cl
	$(BIN)/transip-md sample $(BROAD)/data/pairs/structures -o $(BROAD)/data/pairs --teacher gfn2-xtb --dimers atoms \
	  --frames 60 --seed 1
	cat $(BROAD)/data/pairs/*_pair.extxyz > $(BROAD)/data/pairs.extxyz
	$(BIN)/python $(BROAD)/select_frames.py $(BROAD)/data/pairs.extxyz $(BROAD)/data/selected_pairs.extxyz \
	  --largest-force 40 --no-spin
	$(BIN)/transip-md train $(BROAD)/fourth.yaml -o $(BROAD)/data/fourth.ckpt
	$(BIN)/transip-md train $(BROAD)/fifth.yaml -o $(BROAD)/data/fifth.ckpt
	$(BIN)/transip-md train $(BROAD)/sixth.yaml -o python/transip_md/shipped/organic_broad.ckpt

# From the shipped organic_broad and the data of train-organic-broad.
LARGE := recipes/organic_large
train-organic-large: $(INSTALLED)
	@mkdir -p $(LARGE)/data
	$(BIN)/transip-md export organic_broad -o $(LARGE)/data/organic_broad.pt --dtype float32
	$(BIN)/python $(LARGE)/dynamics.py $(LARGE)/data/organic_broad.pt $(BROAD)/data/train/structures \
	  $(LARGE)/data/bare.extxyz --jobs $(JOBS)
	$(BIN)/transip-md label $(LARGE)/data/bare.extxyz -o $(LARGE)/data/dynamics.extxyz --teacher gfn2-xtb
	$(BIN)/python $(LARGE)/pressed.py $(LARGE)/data/dynamics.extxyz $(LARGE)/data/bare_pressed.extxyz
	$(BIN)/transip-md label $(LARGE)/data/bare_pressed.extxyz -o $(LARGE)/data/pressed.extxyz --teacher gfn2-xtb
	$(BIN)/python $(BROAD)/select_frames.py $(LARGE)/data/pressed.extxyz $(LARGE)/data/selected_pressed.extxyz \
	  --most-atoms 64 --largest-force 120
	$(BIN)/transip-md train $(LARGE)/train.yaml -o $(LARGE)/data/first.ckpt
	$(BIN)/transip-md train $(LARGE)/second.yaml -o $(LARGE)/data/second.ckpt
	$(BIN)/transip-md train $(LARGE)/third.yaml -o $(LARGE)/data/third.ckpt
	$(BIN)/transip-md train $(LARGE)/fourth.yaml -o python/transip_md/shipped/organic_large.ckpt

# The broad list: its SMILES, and their frames. Elsewhere: make organic-data FOLDER=path JOBS=4
organic-molecules: $(INSTALLED)
	$(BIN)/python recipes/organic/molecules.py

organic-data: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/organic/label.sh $(FOLDER) $(JOBS)

# WATER is deepmd-kit's example set of liquid water as extended XYZ, 400 frames; recipes/water/README.md says where it
# comes from.
recipes/water/data/test.extxyz: | $(INSTALLED)
	@test -n "$(WATER)" || { echo "The frames of liquid water are needed (recipes/water/README.md says what they are). Type: make $(MAKECMDGOALS) WATER=path/to/water_pbe0_periodic.extxyz.xz"; exit 2; }
	$(BIN)/python recipes/water/split.py $(WATER)

recipes/water/data/first.ckpt: | $(INSTALLED) recipes/water/data/test.extxyz
	$(BIN)/transip-md train recipes/water/train.yaml -o recipes/water/data/first.ckpt

recipes/water_broad/data/short_range.extxyz: | recipes/water/data/test.extxyz
	@mkdir -p recipes/water_broad/data
	cp recipes/water/data/train.extxyz recipes/water/data/test.extxyz recipes/water_broad/data/
	$(BIN)/python recipes/water_broad/short_range.py recipes/water_broad/data

# From the shipped water_broad, which train-water-broad makes.
train-water: recipes/water_broad/data/short_range.extxyz
	$(BIN)/transip-md train recipes/water/second.yaml -o python/transip_md/shipped/water.ckpt

train-water-broad: recipes/water/data/first.ckpt recipes/water_broad/data/short_range.extxyz
	$(BIN)/transip-md train recipes/water_broad/train.yaml -o recipes/water_broad/data/first.ckpt
	$(BIN)/transip-md train recipes/water_broad/second.yaml -o python/transip_md/shipped/water_broad.ckpt

stability: build recipes/water/data/test.extxyz
	$(BIN)/python benchmarks/stability.py water $(ARGS)
	$(BIN)/python benchmarks/stability.py organic $(ARGS)

# Some parts only: make symmetry ARGS='table momenta'
symmetry: $(INSTALLED)
	$(BIN)/python benchmarks/symmetry.py $(ARGS)

# Some only: make reports ARGS=organic
# Water's frames are made of WATER=path if that is given; without them its report is left out.
reports: build
	@test -f recipes/water/data/test.extxyz || test -z "$(WATER)" || $(BIN)/python recipes/water/split.py $(WATER)
	$(BIN)/python scripts/reports.py $(ARGS)

# Options go into ARGS, as in `make learned-symmetry ARGS='--jobs 2'`.
learned-symmetry: $(INSTALLED)
	$(BIN)/python benchmarks/learned_symmetry.py $(ARGS)

# Labels on JOBS cores, then trains; both resume.
learned-symmetry-many: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/organic/label.sh $(BROAD)/data $(JOBS) held_out many
	$(BIN)/python $(BROAD)/select_frames.py $(BROAD)/data/many.extxyz $(BROAD)/data/selected_many.extxyz \
	  --most-atoms 64 --largest-force 40
	$(BIN)/python benchmarks/learned_symmetry_broad.py --data many --models rope --steps 50000 --jobs $(JOBS) $(ARGS)

gpu-bundle: $(INSTALLED)
	$(BIN)/python scripts/gpu_bundle.py -o build/gpu-bundle.tar $(ARGS)

gpu-train: $(INSTALLED)
	$(BIN)/python scripts/gpu_train_bundle.py $(RECIPE) -o build/gpu-train.tar $(ARGS)

clean:
	rm -rf $(VENV) $(TORCHFORCE) build $(DEMO)
