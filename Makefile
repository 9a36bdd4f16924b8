# Everything a person does with this repository. `make` alone lists the targets.

PYTHON ?= python3
BIN := .venv/bin
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate pyproject.toml
DEMO_PORT ?= 5080
# Whatever .env says, the demo touches neither the user's database nor another exchange.
DEMO_ENV = DATABASE_URL= DATA_DIR=./data/demo INTERVALS=5s,1m,5m,10m SOURCE=ticker \
	EXCHANGE=poloniex POLONIEX_API=current \
	POLONIEX_URL=http://127.0.0.1:$(DEMO_PORT) POLONIEX_LEGACY_URL=http://127.0.0.1:$(DEMO_PORT) \
	POLONIEX_WS_URL=ws://127.0.0.1:$(DEMO_PORT)/ws/public

# Where it is set, every process that starts would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run demo test lint bench bench-peers lock campaign chaos simulate sabotage screenshots

# Most of the time tests would wait for a disk to promise what none of them needs to outlive.
TEST_TMP := $(shell test -w /dev/shm && test $$(df -Pk /dev/shm | awk 'NR == 2 {print $$4}') -gt 3000000 \
	&& echo TMPDIR=/dev/shm)

SEEDS ?= 300
FIRST ?= 0

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: .venv/ready ## install what the service needs into .venv

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

run: .venv/ready ## build candles from the live exchange and serve them
	$(BIN)/flask db upgrade
	exec $(BIN)/flask run

# A shell that waits for a command in the foreground would not hear of SIGTERM before it has ended.
demo: .venv/ready ## the same against a simulated exchange, without any network
	@trap 'kill $$simulator $$service 2>/dev/null; wait' EXIT; trap 'exit 130' INT; trap 'exit 143' HUP TERM; \
	$(BIN)/flask simulate --port $(DEMO_PORT) & simulator=$$!; \
	$(DEMO_ENV) $(BIN)/flask db upgrade && sleep 1 && { kill -0 $$simulator 2>/dev/null || \
		{ echo 'The simulator needs another port: DEMO_PORT=5081 make demo' >&2; exit 1; }; } && \
	{ $(DEMO_ENV) $(BIN)/flask run & service=$$!; wait $$service; }

test: .venv/ready ## run the tests
	$(TEST_TMP) $(BIN)/pytest -n 3 --dist worksteal

campaign: .venv/ready ## run the tests that take long too, and try each property often
	HYPOTHESIS_PROFILE=campaign $(BIN)/pytest -n 2 -m "campaign or not campaign"

simulate: .venv/ready ## run SEEDS=300 seeds of crashes, outages and a hostile exchange in virtual time
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

sabotage: .venv/ready ## put defects into the code, one at a time: the simulation must notice each
	$(BIN)/python -m tests.simulation --sabotage

chaos: .venv/ready ## kill, freeze and cut off a real service and its MariaDB (CHAOS="--help")
	$(BIN)/python -m tests.chaos $(CHAOS)

screenshots: .venv/ready ## make the README's pictures of the dashboard, in six minutes (needs Debian's chromium)
	$(BIN)/python -m tests.dashboard

lint: .venv/ready-dev ## check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready ## measure speed and memory
	$(BIN)/python -m benchmarks

# The peers bring dozens of packages, which must not move the versions that the service runs on.
.venv-peers/ready: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@

bench-peers: .venv/ready .venv-peers/ready ## measure a trade's cost beside cryptofeed's and nautilus_trader's
	$(BIN)/python -m benchmarks.peers .venv-peers/bin/python

lock: .venv/ready-dev ## write requirements.txt and requirements-dev.txt anew
	$(LOCK) --extra test --output-file requirements.txt
	$(LOCK) --extra lint --constraint requirements.txt --output-file requirements-dev.txt
	echo '-e .' >> requirements.txt
