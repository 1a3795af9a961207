# make demo   send to receivers of our own, with nothing installed but Python
# make test   everything a change must pass: lint, types, tests against real servers (installs them on Debian, and says so)
# make faults the whole fault matrix with real processes, and the table of it: about 50 minutes; `make test` plays the short half
# make simulation   our warmup plan and the published ladders for 45 days on virtual time, and the table of it: about 10 minutes
# make metrics      deploy/prometheus/METRICS.md anew, from the declarations in sender/metrics
# make dashboards   grafana/json anew, from its source in grafana/dashboards
# make bench  what a message costs, beside Postfix, nodemailer and aiosmtplib: about 25 minutes, as root; tests/README.md says how to read it
#
# Python packages go to .venv, in the versions and with the hashes of deploy/constraints*.txt; nothing else is touched.
# A bare Debian 12 needs make, git and python3-venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --no-input --quiet
COMPILE := $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-options
PIP_TOOLS := pip-tools==7.6.2 # only `make constraints` needs it, on a maintainer's machine
TESTS ?= tests
# so many tests, since those of whole fleets mostly wait
AT_ONCE ?= 2
METRICS := deploy/prometheus/METRICS.md
FAULTS := $(addprefix tests/scenarios/,test_alerts.py test_caps.py test_fairness.py test_faults.py test_long_tail.py test_memory.py)

.PHONY: demo test faults simulation lint metrics dashboards bench clean constraints servers
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/penstock demo

test: servers lint
	$(BIN)/python -m pytest -n $(AT_ONCE) --dist worksteal $(TESTS)

faults: servers $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "" $(FAULTS)

simulation: $(VENV)/installed-dev
	$(BIN)/python -m pytest -s -m "" tests/simulation

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

metrics: $(VENV)/installed
	$(BIN)/python -m sender.metrics > $(METRICS).new
	mv $(METRICS).new $(METRICS)

dashboards: $(VENV)/installed-dev
	$(BIN)/python -m grafana.dashboards

bench: $(VENV)/installed-dev
	$(BIN)/python -m tests.bench

# The servers that the tests talk to: Postfix, opendkim and what builds the load generators.
servers:
	tests/setup-debian.sh

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Stamps, so that a second `make` installs nothing. The project itself is installed in place and without looking anything up:
# all that it needs, its build backend included, has come from the pinned lists.
$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit("Penstock needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: deploy/constraints-build.txt deploy/constraints.txt pyproject.toml | $(VENV)/created
	$(PIP) install --require-hashes -r deploy/constraints-build.txt
	$(PIP) install --require-hashes --no-build-isolation -r deploy/constraints.txt
	$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: deploy/constraints-dev.txt $(VENV)/installed
	$(PIP) install --require-hashes --no-build-isolation -r deploy/constraints-dev.txt
	@touch $@

# Work the pinned versions out anew. No index is named: pip asks the one it is configured for.
constraints: $(VENV)/created
	$(PIP) install $(PIP_TOOLS)
	$(COMPILE) -o deploy/constraints-build.txt deploy/constraints-build.in
	$(COMPILE) -c deploy/constraints-build.txt -o deploy/constraints.txt pyproject.toml deploy/constraints.in
	$(COMPILE) --extra dev -c deploy/constraints-build.txt -c deploy/constraints.txt -o deploy/constraints-dev.txt pyproject.toml deploy/constraints.in
