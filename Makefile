# Everything that is done on one machine. It takes make and any Python from 3.11 on; the rest is installed into .venv.
# Nothing here needs an AWS account, or the network beyond the package index.
.DEFAULT_GOAL := help

include layers/bytecode.mk

BIN := .venv/bin
READY := .venv/.ready
MINISTACK := .venv-ministack/.ready
CHECKOV := .venv-checkov/.ready
OPENAPI := .venv-openapi/.ready
FUZZ := .venv-fuzz/.ready
AUDIT := .venv-audit/.ready
BESIDE := .venv-beside/.ready
CLIENTS := tests/e2e/clients/node_modules/.ready
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# A region is asked for even where none is reached; a profile would be looked up, so none gets through.
export AWS_DEFAULT_REGION ?= us-east-1
unexport AWS_PROFILE
export SAM_CLI_TELEMETRY := 0

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(READY) ## start the whole product here and show one sign-in (ONCE=1 stops after it; PORT=9000 serves from there on; APPS=apps.json adds yours)
	@$(BIN)/python -m tests.local $(if $(PORT),--port $(PORT)) $(if $(APPS),--apps "$(APPS)") \
	  $(if $(ISSUER),--issuer "$(ISSUER)") $(if $(ARIES),--aries "$(ARIES)") $(if $(filter-out 0,$(ONCE)),--once)

# The words of an event that were given to make itself: what else the environment holds under such a name is not meant.
OPERATE := ACTION OPERATOR SESSION CLIENT_ID EVERYONE CONTINUE STATUS REMOVED_APP LIMIT DROP_LOST SECONDS EVENT
.PHONY: operate
operate: $(READY) ## do an operator's action where `make run` serves (ACTION=check, SESSION=..., CLIENT_ID=..., EVENT='{...}')
	@$(BIN)/python -m tests.local.operate $(if $(PORT),--port $(PORT)) \
	  $(foreach word,$(OPERATE),$(if $(findstring command line,$(origin $(word))),$(word)))

.PHONY: sam-local
sam-local: build ## like run, with the functions in Lambda's containers (needs Docker or the like: see .ci/containers)
	@$(BIN)/python -m tests.local --containers $(if $(PORT),--port $(PORT)) $(if $(APPS),--apps "$(APPS)") $(if $(filter-out 0,$(ONCE)),--once)

.PHONY: test
test: $(READY) $(MINISTACK) ## run all tests and measure what they cover (ARGS="-k refresh" are pytest's)
	@$(BIN)/python -m pytest -n auto --maxschedchunk 1 --cov --cov-report=term-missing:skip-covered $(ARGS)

.PHONY: test-clients
test-clients: $(READY) $(CLIENTS) ## have OAuth clients and a browser use it (needs Node.js and Chromium: see .ci/browser)
	@$(BIN)/python -m pytest -m clients tests/e2e $(ARGS)

.PHONY: test-openapi
test-openapi: $(READY) $(OPENAPI) ## hold the OpenAPI document against the standard and the running stack
	@$(BIN)/python -m pytest -m openapi tests/openapi $(ARGS)

.PHONY: fuzz
fuzz: $(READY) $(FUZZ) ## fuzz all parsers and endpoints by what they cover, about a minute (on Linux, x86-64)
	@$(BIN)/python -m pytest -m fuzz tests/fuzz $(ARGS)

.PHONY: audit
audit: $(READY) $(AUDIT) ## ask for known holes in everything that is locked (says so where nobody can be asked)
	@$(BIN)/python -m tests.audit

.PHONY: sbom
sbom: $(READY) $(AUDIT) ## write the bill of materials of what ships (CycloneDX) to sbom.json
	@$(BIN)/python -m tests.audit.sbom sbom.json

.PHONY: test-audit
test-audit: $(READY) $(AUDIT) ## hold these two against services that know of holes, fail or lie, and the schema (needs npm)
	@$(BIN)/python -m pytest -m audit tests/audit $(ARGS)

.PHONY: test-deploy
test-deploy: build $(MINISTACK) ## deploy the stack to an AWS on this machine, and sign in with nothing but the rights it gives
	@$(BIN)/python -m pytest -m deployed tests/deployed $(ARGS)

.PHONY: test-sam
test-sam: build ## run the sign-in and all events in Lambda's containers (needs Docker or the like: see .ci/containers)
	@$(BIN)/python -m pytest -m sam tests/e2e $(ARGS)

.PHONY: bench
bench: build $(BESIDE) ## measure everything (PARTS="cold warm" alone; ROUNDS=7), some minutes; needs a python3.13
	@PYTHON3_13="$(PYTHON3_13)" PYTHONPATH=layers/oauth_broker $(BIN)/python -m tests.bench $(PARTS) \
	  $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: check-bench
check-bench: build $(BESIDE) ## see that everything can be measured, and that what is slow is noticed
	@PYTHON3_13="$(PYTHON3_13)" $(BIN)/python -m pytest -m bench tests/bench $(ARGS)

.PHONY: cost
cost: $(READY) ## what a month costs at AWS (USERS=50000, REFRESHES=8 a day, SIGNINS=1 a month, PEAK=10 at the opening)
	@$(BIN)/python -m tests.bench.cost $(if $(USERS),--users "$(USERS)") $(if $(REFRESHES),--refreshes "$(REFRESHES)") \
	  $(if $(SIGNINS),--sign-ins "$(SIGNINS)") $(if $(PEAK),--peak "$(PEAK)")

.PHONY: check
check: $(READY) $(CHECKOV) ## check style, types and the template
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy functions layers/oauth_broker/oauth_broker tests
	$(BIN)/sam validate
	$(BIN)/sam validate --lint
	$(BIN)/cfn-lint template.yaml
# By itself it passes a template that it cannot parse, and one in which it finds nothing to check.
	@echo "checkov template.yaml"; \
	found="$$(CKV_PARSE_ERROR_FAIL=true $(CHECKOV:.ready=bin/checkov) --framework cloudformation --file template.yaml \
	  --skip-download --compact --quiet)"; \
	status=$$?; echo "$$found"; \
	echo "$$found" | grep -q 'Passed checks: [1-9][0-9]' || { echo "It has checked next to nothing." >&2; exit 1; }; \
	exit $$status

# The layers are built with .venv's Python, whatever python3 may be outside. A function's folder is deployed as it is,
# and what Python leaves there when the tests import it is not to be.
.PHONY: check-config
check-config: $(READY) ## say offline what samconfig.toml (CONFIG_ENV=default) or APPS=apps.json would be refused for
	@PYTHONPATH=layers/oauth_broker $(BIN)/python -m tests.local.check_config \
	  $(if $(APPS),--apps "$(APPS)") $(if $(CONFIG_ENV),--config-env "$(CONFIG_ENV)")

.PHONY: build
build: export PATH := $(CURDIR)/$(BIN):$(PATH)
build: $(READY) ## build what is deployed, without Docker
	@find functions -name __pycache__ -prune -exec rm -rf {} +
	@$(BIN)/sam build

.PHONY: check-build
check-build: build ## test what was built, where a python3.13 is at hand by importing it too
	@PYTHON3_13="$(PYTHON3_13)" $(BIN)/python -m pytest -m built tests/built $(ARGS)

.PHONY: lock
lock: ## pin the newest allowed packages anew, with their hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" layers/dependencies/requirements.in -o layers/dependencies/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/requirements.in -o tests/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/ministack.in -o tests/ministack.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/checkov.in -o tests/checkov.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/openapi/requirements.in -o tests/openapi/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/fuzz/requirements.in -o tests/fuzz/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/audit/requirements.in -o tests/audit/requirements.txt
	uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/e2e/lambda_runtime.in -o tests/e2e/lambda_runtime.txt
	uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" tests/bench/beside_flask/requirements.in -o tests/bench/beside_flask/requirements.txt
	cd $(CLIENTS:/node_modules/.ready=) && npm update

.PHONY: clean
clean: ## remove everything that was made here
	rm -rf .venv .venv-ministack .venv-checkov .venv-openapi .venv-fuzz .venv-audit .venv-beside sbom.json $(CLIENTS:/.ready=) .aws-sam .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis .screenshots
	find functions layers tests -name __pycache__ -prune -exec rm -rf {} +

# Made anew whenever the pinned packages change; without the stamp it counts as unfinished. The lock names everything, so
# pip resolves nothing.
$(READY): tests/requirements.txt
	@python="$(PYTHON)"; \
	for candidate in $(if $(PYTHON),,python3 python3.13 python3.12 python3.11); do \
	  if "$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if ! "$${python:-python3}" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	  echo "Python 3.11 or newer is needed, and $${python:-python3} is not." \
	    "Install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; \
	fi; \
	echo "Installing what this needs into .venv, with $$("$$python" --version) (once, about a minute) ..."; \
	rm -rf .venv; \
	"$$python" -m venv .venv || { \
	  echo "Could not make .venv. On Debian and Ubuntu the package python3-venv may be missing." >&2; exit 1; \
	}
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
	  --requirement tests/requirements.txt
	@touch $@

# An AWS on this machine, for the tests of races and of what is deployed, apart from .venv: its packages are not theirs.
$(MINISTACK): tests/ministack.txt | $(READY)
	@echo "Installing MiniStack into .venv-ministack (once, some seconds) ..."
	@rm -rf .venv-ministack
	@$(BIN)/python -m venv .venv-ministack
	@.venv-ministack/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
	  --requirement tests/ministack.txt
	@touch $@

# What reads the template for what is unsafe, apart from .venv too. Told not to download, it reaches no network.
$(CHECKOV): tests/checkov.txt | $(READY)
	@echo "Installing checkov into .venv-checkov (once, half a minute) ..."
	@rm -rf .venv-checkov
	@$(BIN)/python -m venv .venv-checkov
	@.venv-checkov/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
	  --requirement tests/checkov.txt
	@touch $@

# What reads the OpenAPI document and makes requests of it, apart from .venv too.
$(OPENAPI): tests/openapi/requirements.txt | $(READY)
	@echo "Installing schemathesis into .venv-openapi (once, half a minute) ..."
	@rm -rf .venv-openapi
	@$(BIN)/python -m venv .venv-openapi
	@.venv-openapi/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
	  --requirement tests/openapi/requirements.txt
	@touch $@

# The fuzzer, apart from .venv too. What it fuzzes it takes from there.
$(FUZZ): tests/fuzz/requirements.txt | $(READY)
	@echo "Installing atheris into .venv-fuzz (once, some seconds) ..."
	@rm -rf .venv-fuzz
	@$(BIN)/python -m venv .venv-fuzz
	@.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
	  --requirement tests/fuzz/requirements.txt
	@touch $@

# What asks for known holes and writes the bill of materials, apart from .venv too.
$(AUDIT): tests/audit/requirements.txt | $(READY)
	@echo "Installing pip-audit and cyclonedx-bom into .venv-audit (once, some seconds) ..."
	@rm -rf .venv-audit
	@$(BIN)/python -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
	  --requirement tests/audit/requirements.txt
	@touch $@

# What the broker is measured beside, in the runtime's own Python.
$(BESIDE): tests/bench/beside_flask/requirements.txt | $(READY)
	@if [ -z "$(PYTHON3_13)" ]; then echo "This needs a python3.13: set PYTHON3_13 to one." >&2; exit 1; fi
	@echo "Installing Flask and Authlib into .venv-beside (once, some seconds) ..."
	@rm -rf .venv-beside
	@"$(PYTHON3_13)" -m venv .venv-beside
	@.venv-beside/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
	  --requirement tests/bench/beside_flask/requirements.txt
	@touch $@

# The OAuth clients of the npm registry, as the lock file has them.
$(CLIENTS): tests/e2e/clients/package-lock.json
	@echo "Installing OAuth clients into $(@D) (once, some seconds) ..."
	@cd $(<D) && npm ci --silent
	@touch $@
