# What can I do here? `make` lists it. Needs Python 3.11 or newer and make, on Linux or macOS, nothing else:
# every target sets up what it needs in .venv first, with the exact versions of constraints.txt.
# Written for GNU make 3.81, which is what macOS ships.

# The first of these that the pinned torch has wheels for (3.11 to 3.14). Or: make lab PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	&& { echo "$$p"; break; }; done)
# Extra arguments: PIP_ARGS for pip install, LAB_ARGS for JupyterLab, PYTEST_ARGS for the unit tests.
PIP_ARGS ?=
LAB_ARGS ?=
PYTEST_ARGS ?=

PY := .venv/bin/python
READY := .venv/.ready
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
BENCHMARKS := $(sort $(wildcard benchmarks/*.py))
RUN_NOTEBOOKS := $(PY) -m pytest -p tests.notebook_report --nbmake --nbmake-timeout=600 --timeout=1200

# Caches stay inside the project folder, unless you already keep one elsewhere.
export HF_HOME ?= $(CURDIR)/.cache/huggingface
export IPYTHONDIR ?= $(CURDIR)/.cache/ipython
export JUPYTER_DATA_DIR ?= $(CURDIR)/.cache/jupyter
export JUPYTERLAB_WORKSPACES_DIR ?= $(CURDIR)/.cache/jupyter/workspaces
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib
export TORCHINDUCTOR_CACHE_DIR ?= $(CURDIR)/.cache/torchinductor

.PHONY: help venv lab run test notebooks margins recorded chain variants claims bench clean

help:
	@echo "make lab        set up, then open JupyterLab at notebook 00"
	@echo "make run        set up, then train every stage from the bundled bases to R1 and both students into runs/ (resumes if stopped)"
	@echo "make test       set up, then lint, unit tests and every notebook, with a table of time and memory"
	@echo "make notebooks  execute every notebook in place and clean what is committed of it"
	@echo "make margins    execute every notebook with ten seeds: how far is each claim from failing? (an hour)"
	@echo "make recorded   make anew the models, sets, runs and stage table that data/ ships (two hours; resumes)"
	@echo "make chain      the stages after R1-Zero alone, and the table of stages"
	@echo "make variants   the stage graph with one edge rewired, four times, recorded (20 minutes)"
	@echo "make claims     train what the ledger of claims needs, then judge (hours; resumes)"
	@echo "make bench      run benchmarks/*.py into data/benchmarks/ and README's table (two hours, idle machine)"
	@echo "make venv       set up .venv only"
	@echo "make clean      remove .venv, caches and build leftovers; runs/ and data/ are kept"

venv: $(READY)

# The stamp is newer than both files only after a complete install, so a stopped one is taken up again.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "r1book needs Python 3.11 to 3.14; found $$(python3 --version 2>&1)." \
	"Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v >= (3, 11) else \
	f"r1book needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Name a newer one with PYTHON=...")'
	@echo "Setting up .venv with $(PYTHON): a few minutes, once. torch is the largest part, see TROUBLESHOOTING.md"
	@test -x .venv/bin/pip || "$(PYTHON)" -m venv .venv || { echo \
	"Could not make .venv. On Debian and Ubuntu the venv module is a package of its own: apt install python3-venv" \
	>&2; exit 1; }
	$(PY) -m pip install --disable-pip-version-check -e '.[lab,dev]' -c constraints.txt $(PIP_ARGS)
	@mkdir -p .cache
	@$(PY) -c 'import matplotlib.font_manager'  # lists the fonts once, so that no notebook has to
	@touch $(READY)

lab: $(READY)
	$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/$(or $(firstword $(NOTEBOOKS)),notebooks) $(LAB_ARGS)

run: $(READY)
	$(PY) -m r1book run all --preset laptop --seed 0 --out runs

test: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest $(PYTEST_ARGS)
ifeq ($(NOTEBOOKS),)
	@echo "No notebook yet in notebooks/: none was executed."
else
	$(RUN_NOTEBOOKS) $(NOTEBOOKS)
endif

# Outputs are committed, so what a reader has no use for (widget state, timings) is taken out.
notebooks: $(READY)
ifeq ($(NOTEBOOKS),)
	@echo "No notebook in notebooks/." >&2; exit 1
else
	$(RUN_NOTEBOOKS) --overwrite --notebook-times=data/notebooks.json $(NOTEBOOKS)
	$(PY) tests/clean_notebooks.py $(NOTEBOOKS)
	$(PY) -m r1book readme
endif

# What a chapter claims must not fail by bad luck: margins in standard deviations over seeds, checked by a test.
margins: $(READY)
	$(PY) tests/notebook_margins.py --out data/margins.json $(NOTEBOOKS)

# Models, sets, recorded runs and the stage table, made anew: about two hours on two cores, each run continued where it stopped.
SEEDS ?= 0 1 2
# After R1-Zero, each from what is bundled of those before: in their order.
CHAIN := chat cold-start-data cold-start reasoning-rl rejection-sampling sft-800k preferences reward-models \
	all-scenario-rl distillation-data distill-qwen distill-llama
RECORD := $(PY) -m r1book record
recorded: $(READY)
	$(PY) -m r1book run base --seed 0 --out runs/base
	$(RECORD) runs/base --model data/models/base
	@for s in qwen-base llama-base; do \
	$(PY) -m r1book run $$s --seed 0 --out runs/$$s && $(RECORD) runs/$$s --model data/models/$$s || exit 1; done
	@for s in $(SEEDS); do \
	$(PY) -m r1book run r1-zero --seed $$s --out runs/r1_zero-seed$$s && \
	$(RECORD) runs/r1_zero-seed$$s data/runs/r1_zero-seed$$s || exit 1; done
	$(RECORD) runs/r1_zero-seed0 --model data/models/r1-zero
	@for control in random format_only; do \
	$(PY) -m r1book run r1-zero --seed 0 --set reward=$$control --out runs/r1_zero-$$control && \
	$(RECORD) runs/r1_zero-$$control data/runs/r1_zero-$$control || exit 1; done
	$(MAKE) chain
	$(PY) -m r1book readme

# The stages after R1-Zero alone, seed 0.
chain: $(READY)
	@for s in $(CHAIN); do $(PY) -m r1book run $$s --seed 0 --out runs/$$s && case $$s in \
	*-data|*-sampling|preferences) $(RECORD) runs/$$s --data data/sets/$$s;; \
	*) $(RECORD) runs/$$s --model data/models/$$s;; esac || exit 1; done
	$(PY) -m r1book compare data/models --out data/stages.json

# The graph with an edge rewired, four times, each up to where it differs from R1's (`r1book/comparison.py`).
V := runs/variants
TALK := --set 'evaluation.benchmarks=["mini-MATH","logic","mini-GPQA","mini-IFEval","mini-Arena"]'
LANGUAGE := --set 'weights={"accuracy": 1.0, "format": 1.0, "language": 1.0}'
TRAIN := $(PY) -m r1book run
variants: $(READY)
	$(TRAIN) r1-zero --from base=data/models/sft-800k $(TALK) --out $V/popular
	$(TRAIN) reasoning-rl --from cold-start=data/models/base --out $V/no-cold-start-dev2
	$(TRAIN) rejection-sampling --from $V/no-cold-start-dev2/checkpoint --out $V/no-cold-start-data
	$(TRAIN) sft-800k --from rejection-sampling=$V/no-cold-start-data/data $(TALK) --out $V/no-cold-start
	$(TRAIN) sft-800k --from base=data/models/reasoning-rl $(TALK) --out $V/no-restart
	$(TRAIN) r1-zero $(LANGUAGE) --out $V/language-first-zero
	$(TRAIN) cold-start-data --from $V/language-first-zero/checkpoint --out $V/language-first-traces
	$(TRAIN) cold-start --from cold-start-data=$V/language-first-traces/data --out $V/language-first-dev1
	$(TRAIN) reasoning-rl --from $V/language-first-dev1/checkpoint --out $V/language-first-dev2
	$(TRAIN) rejection-sampling --from $V/language-first-dev2/checkpoint --out $V/language-first-data
	$(TRAIN) sft-800k --from rejection-sampling=$V/language-first-data/data $(TALK) --out $V/language-first
	@for v in popular no-cold-start no-restart language-first; do \
	$(RECORD) $V/$$v data/variants/$$v || exit 1; done

KIND ?= exploratory
claims: $(READY)
	$(PY) -m r1book claims --record data/claims/$(KIND).json

bench: $(READY)
ifeq ($(BENCHMARKS),)
	@echo "No benchmark in benchmarks/." >&2; exit 1
else
	@for script in $(BENCHMARKS); do echo "== $$script"; \
	$(PY) "$$script" --json "data/benchmarks/$$(basename $$script .py).json" || exit 1; done
	$(PY) -m r1book readme
endif

clean:
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis build r1book.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +
