# Everything that is done on one machine. It takes make and a Python from 3.11 to 3.14; the rest is installed into .venv.
# Nothing here needs an AWS account, or the network beyond the package index.
.DEFAULT_GOAL := help

include layers/bytecode.mk

BIN := .venv/bin
CLIENTS := tests/e2e/clients/node_modules/.ready

# Every environment and the lock file that it is made from. A program whose packages are nobody else's has one of its own.
LOCK.venv := tests/requirements.txt
# An AWS on this machine, for the tests of races and of what is deployed.
LOCK.venv-ministack := tests/ministack.txt
# checkov reads the template for what is unsafe.
LOCK.venv-checkov := tests/checkov.txt
# These read the OpenAPI document and make requests of it.
LOCK.venv-openapi := tests/openapi/requirements.txt
# The fuzzer. It takes what it fuzzes from .venv.
LOCK.venv-fuzz := tests/fuzz/requirements.txt
# These ask for known holes and write the bill of materials.
LOCK.venv-audit := tests/audit/requirements.txt
# The broker is measured beside these, in the runtime's own Python.
LOCK.venv-beside := tests/bench/beside_flask/requirements.txt
ENVIRONMENTS := $(patsubst LOCK%,%,$(filter LOCK.venv%,$(.VARIABLES)))
# These are locked for the runtime's Python, the others for the oldest that runs the project.
LOCKS_OF_THE_RUNTIME := tests/e2e/lambda_runtime.txt $(LOCK.venv-beside)
LOCKS := layers/dependencies/requirements.txt $(foreach name,$(ENVIRONMENTS),$(LOCK$(name)))
READY := .venv/.ready
MINISTACK := .venv-ministack/.ready
CHECKOV := .venv-checkov/.ready
OPENAPI := .venv-openapi/.ready
FUZZ := .venv-fuzz/.ready
AUDIT := .venv-audit/.ready
BESIDE := .venv-beside/.ready

# What is said to make itself, as in `make run PORT=9000`. What the environment holds under such a name is not meant.
WORDS := PYTHON PORT APPS ISSUER ARIES ONCE CONFIG_ENV USERS REFRESHES SIGNINS PEAK ARGS PARTS ROUNDS
given = $(findstring command line,$(origin $(1)))
$(foreach word,$(WORDS),$(if $(call given,$(word)),,$(eval override $(word) :=)))
unexport $(WORDS)

# .venv is made by the newest of these that can, or by PYTHON.
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3 python)

# Nothing of the caller's own configuration of AWS, SAM CLI, Powertools, moto and Python gets through: a profile would be
# looked up, an endpoint asked, a module taken from elsewhere. layers/install.py does the same for pip. uv and npm keep
# what reaches their registries. With CDPATH, cd may go elsewhere.
UV_KEPT := UV_CACHE_DIR UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_HTTP_TIMEOUT UV_INDEX UV_INDEX_% \
  UV_INSECURE_HOST UV_KEYRING_PROVIDER UV_NATIVE_TLS UV_OFFLINE UV_PYTHON_INSTALL_DIR UV_SYSTEM_CERTS
CALLERS := $(filter-out $(UV_KEPT),$(filter \
  AWS_% BOTO_% SAM_% POWERTOOLS_% MOTO_% TEST_SERVER_MODE FLASK_% WERKZEUG_% PYTHON% UV_% __PYVENV_LAUNCHER__ CDPATH, \
  $(.VARIABLES)))
unexport $(CALLERS)
export AWS_CONFIG_FILE := /dev/null
export AWS_SHARED_CREDENTIALS_FILE := /dev/null
# SAM CLI asks for a region even where it reaches none.
export AWS_DEFAULT_REGION := us-east-1
export AWS_EC2_METADATA_DISABLED := true
export SAM_CLI_TELEMETRY := 0
# Files are UTF-8 in every locale.
export PYTHONUTF8 := 1

# Stops with a plain line if a program is not installed: its name, and how to get it.
need = @command -v $(1) >/dev/null || { echo "$(1) is not installed, and this needs it. $(2)" >&2; exit 1; }

.PHONY: npm-is-there uv-is-there
npm-is-there:
	$(call need,npm,It comes with Node.js; on Debian .ci/browser installs both.)
uv-is-there:
	$(call need,uv,See https://docs.astral.sh/uv/)

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

SERVE = $(BIN)/python -m tests.local $(if $(PORT),--port "$(PORT)") $(if $(APPS),--apps "$(APPS)") \
  $(if $(ISSUER),--issuer "$(ISSUER)") $(if $(ARIES),--aries "$(ARIES)") $(if $(filter-out 0,$(ONCE)),--once)

.PHONY: run
run: $(READY) ## start the whole product here and show one sign-in (ONCE=1 stops after it; PORT=9000 serves from there on; APPS=apps.json adds yours)
	@$(SERVE)

# The members of an event. They reach the program in the environment, as make hands them on, and by name.
OPERATE := ACTION OPERATOR SESSION CLIENT_ID EVERYONE CONTINUE STATUS REMOVED_APP LIMIT DROP_LOST SECONDS EVENT
.PHONY: operate
operate: $(READY) ## do an operator's action where `make run` serves (ACTION=check, SESSION=..., CLIENT_ID=..., EVENT='{...}')
	@$(BIN)/python -m tests.local.operate $(if $(PORT),--port $(PORT)) \
	  $(foreach word,$(OPERATE),$(if $(call given,$(word)),$(word)))

.PHONY: sam-local
sam-local: build ## like run, with the functions in Lambda's containers (needs Docker or the like: see .ci/containers)
	@$(SERVE) --containers

.PHONY: test
test: $(READY) $(MINISTACK) ## run all tests and measure what they cover (ARGS="-k refresh" are pytest's)
	@$(BIN)/python -m pytest -n auto --maxschedchunk 1 --cov --cov-report=term-missing:skip-covered $(ARGS)

.PHONY: test-clients
test-clients: npm-is-there $(READY) $(CLIENTS) ## have OAuth clients and a browser use it (needs Node.js and Chromium: see .ci/browser)
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
test-audit: npm-is-there $(READY) $(AUDIT) ## hold audit and sbom against services that know of holes, fail or lie, and the schema (needs npm)
	@$(BIN)/python -m pytest -m audit tests/audit $(ARGS)

.PHONY: test-deploy
test-deploy: build $(MINISTACK) ## deploy the stack to an AWS on this machine, and sign in with nothing but the rights it gives
	@$(BIN)/python -m pytest -m deployed tests/deployed $(ARGS)

.PHONY: test-first-contact
test-first-contact: $(READY) ## install a clone and try it in environments that are against it (needs git and npm, about 3 minutes)
	@PYTHON3_13="$(PYTHON3_13)" $(BIN)/python -m pytest -m first_contact tests/first_contact $(ARGS)

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
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy functions layers/install.py layers/sam_version.py layers/oauth_broker/oauth_broker tests
	$(BIN)/python -m samcli validate
	$(BIN)/python -m samcli validate --lint
	$(BIN)/python -c 'import sys; from cfnlint.runner import main; sys.exit(main())' template.yaml
# By itself checkov passes a template that it cannot parse, and one in which it finds nothing to check.
	@echo "checkov template.yaml"; \
	found="$$(CKV_PARSE_ERROR_FAIL=true $(CHECKOV:.ready=bin/python) -m checkov.main --framework cloudformation --file template.yaml \
	  --skip-download --compact --quiet)"; \
	status=$$?; echo "$$found"; \
	echo "$$found" | grep -q 'Passed checks: [1-9][0-9]' || { echo "It has checked next to nothing." >&2; exit 1; }; \
	exit $$status

.PHONY: check-config
check-config: $(READY) ## say offline what samconfig.toml (CONFIG_ENV=default) or APPS=apps.json would be refused for
	@$(BIN)/python -m tests.local.check_config \
	  $(if $(APPS),--apps "$(APPS)") $(if $(CONFIG_ENV),--config-env "$(CONFIG_ENV)")

# The Python of .venv builds the layers, whatever python3 is on PATH, and the make that builds them inherits no option of
# this one. A function's folder is deployed as it is: what Python left there when the tests imported it is removed first.
.PHONY: build
build: $(READY) ## build what is deployed, without Docker
	@$(BIN)/python -I layers/sam_version.py --warn
	@find functions -name __pycache__ -prune -exec rm -rf {} +
	@SAM_CLI_ON_PATH=unused MAKEFLAGS= MFLAGS= PYTHON="$$PWD/$(BIN)/python" PYTHON3_13="$(PYTHON3_13)" $(BIN)/python -m samcli build

.PHONY: check-build
check-build: build ## test what was built, where a python3.13 is at hand by importing it too
	@PYTHON3_13="$(PYTHON3_13)" $(BIN)/python -m pytest -m built tests/built $(ARGS)

.PHONY: lock
lock: uv-is-there npm-is-there ## pin the newest allowed packages anew, with their hashes (needs uv and npm)
	$(foreach lock,$(sort $(LOCKS) $(LOCKS_OF_THE_RUNTIME)),$(call pin,$(lock)))
	cd ./$(CLIENTS:/node_modules/.ready=) && npm update --global=false --location=project --dry-run=false --package-lock=true \
	  --engine-strict=false

# The layer's lock comes first (sort puts it there): the tests' lock takes its versions from it.
define pin
uv pip compile --quiet --universal --generate-hashes --upgrade --custom-compile-command "make lock" \
  --python-version $(if $(filter $(LOCKS_OF_THE_RUNTIME),$(1)),3.13,3.11) $(1:.txt=.in) -o $(1)

endef

.PHONY: clean
clean: ## remove everything that was made here
	rm -rf $(ENVIRONMENTS) sbom.json $(CLIENTS:/.ready=) .aws-sam .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis .screenshots
	find functions layers tests -name __pycache__ -prune -exec rm -rf {} +

# An environment is made anew if its lock changes, or if the Python that made it is gone. As long as it has no stamp it counts
# as unfinished. Its programs are called as modules: their scripts name the folder that they were installed in, and a clone
# may be moved.
.SECONDEXPANSION:
$(ENVIRONMENTS:%=%/.ready): %/.ready: $$(LOCK$$*) $$(if $$(realpath $$*/bin/python),,anew) | $$(BEFORE$$*)
	@$(or $(FIND_PYTHON$*),python=.venv/bin/python); "$$python" -I layers/install.py $(LOCK$*) --environment $*
	@touch $@

.PHONY: anew
anew:

# All but two are made by the Python of .venv.
$(foreach name,$(filter-out .venv .venv-beside,$(ENVIRONMENTS)),$(eval BEFORE$(name) := $(READY)))

define FIND_PYTHON.venv
python=; why=; \
for candidate in $(PYTHONS); do \
  said="$$("$$candidate" tests/suits.py 2>/dev/null)" && { python="$$candidate"; break; }; why="$${why:-$$said}"; \
done; \
if [ -z "$$python" ]; then \
  echo "This needs Python 3.11, 3.12, 3.13 or 3.14, with its module venv. $${why:-None was found$(if $(PYTHON), as $(PYTHON)).}" \
    "Install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; \
fi
endef

define FIND_PYTHON.venv-beside
python="$(PYTHON3_13)"; if [ -z "$$python" ]; then echo "This needs a python3.13: set PYTHON3_13 to one." >&2; exit 1; fi
endef

# The OAuth clients of the npm registry, as the lock file has them. Angular names a newer Node.js than the bundler needs.
$(CLIENTS): tests/e2e/clients/package-lock.json | npm-is-there
	@echo "Installing OAuth clients into $(@D), once ..."
	@cd ./$(<D) && npm ci --global=false --location=project --dry-run=false --package-lock=true --no-audit --no-fund --no-progress \
	  --engine-strict=false --fetch-retries 1 --loglevel error >&2 || \
	  { echo "$< was not installed. Can the npm registry be reached? npm_config_registry names another." >&2; exit 1; }
	@touch $@
