# All commands for one machine. It takes make and a Python from 3.11 to 3.14; make installs the rest into .venv.
# No target needs an AWS account. The package index is all that a target needs of the network.
.DEFAULT_GOAL := help

include layers/bytecode.mk

BIN := .venv/bin
CLIENTS := tests/e2e/clients/node_modules/.ready

# Each environment and its lock file. A program with packages that no other program needs has an environment of its own.
LOCK.venv := tests/requirements.txt
# An AWS on this machine, for the tests of races and of the deployed stack.
LOCK.venv-ministack := tests/ministack.txt
# checkov searches the template for unsafe settings.
LOCK.venv-checkov := tests/checkov.txt
# A validator of the OpenAPI document, and schemathesis, which makes requests from the document.
LOCK.venv-openapi := tests/openapi/requirements.txt
# The fuzzer. It imports the code under test from .venv.
LOCK.venv-fuzz := tests/fuzz/requirements.txt
# The programs that ask for known holes and write the bill of materials.
LOCK.venv-audit := tests/audit/requirements.txt
# The benchmark measures the broker beside these packages, in the runtime's own Python.
LOCK.venv-beside := tests/bench/beside_flask/requirements.txt
ENVIRONMENTS := $(patsubst LOCK%,%,$(filter LOCK.venv%,$(.VARIABLES)))
# These lock files are for the runtime's Python. The others are for the oldest Python that runs the project.
LOCKS_OF_THE_RUNTIME := tests/e2e/lambda_runtime.txt $(LOCK.venv-beside)
LOCKS := layers/dependencies/requirements.txt $(foreach name,$(ENVIRONMENTS),$(LOCK$(name)))
READY := .venv/.ready
MINISTACK := .venv-ministack/.ready
CHECKOV := .venv-checkov/.ready
OPENAPI := .venv-openapi/.ready
FUZZ := .venv-fuzz/.ready
AUDIT := .venv-audit/.ready
BESIDE := .venv-beside/.ready

# The words on make's own command line, as in `make run PORT=9000`. A variable of that name in the environment is
# ignored.
WORDS := PYTHON PORT APPS ISSUER ARIES TOKEN_STORE EVENTS ONCE CONFIG_ENV USERS REFRESHES SIGNINS PEAK ARGS PARTS ROUNDS
given = $(findstring command line,$(origin $(1)))
$(foreach word,$(WORDS),$(if $(call given,$(word)),,$(eval override $(word) :=)))
unexport $(WORDS)

# PYTHON makes .venv. If PYTHON is not given, the newest of these that can make it does.
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3 python)

# The caller's own configuration of AWS, SAM CLI, Powertools, moto and Python stays outside. A profile, an endpoint or a
# module of the caller could change the result. layers/install.py does the same for pip. uv and npm keep the settings
# that reach their registries. CDPATH stays outside, because it may send cd to another folder.
UV_KEPT := UV_CACHE_DIR UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_HTTP_TIMEOUT UV_INDEX UV_INDEX_% \
  UV_INSECURE_HOST UV_KEYRING_PROVIDER UV_NATIVE_TLS UV_OFFLINE UV_PYTHON_INSTALL_DIR UV_SYSTEM_CERTS
CALLERS := $(filter-out $(UV_KEPT),$(filter \
  AWS_% BOTO_% SAM_% POWERTOOLS_% MOTO_% TEST_SERVER_MODE FLASK_% WERKZEUG_% PYTHON% UV_% __PYVENV_LAUNCHER__ CDPATH, \
  $(.VARIABLES)))
unexport $(CALLERS)
export AWS_CONFIG_FILE := /dev/null
export AWS_SHARED_CREDENTIALS_FILE := /dev/null
# SAM CLI asks for a region even if it reaches none.
export AWS_DEFAULT_REGION := us-east-1
export AWS_EC2_METADATA_DISABLED := true
export SAM_CLI_TELEMETRY := 0
# Files are UTF-8 in every locale.
export PYTHONUTF8 := 1

# If a program is not installed, one plain line names it and says how to get it, and make stops.
need = @command -v $(1) >/dev/null || { echo "$(1) is not installed, and this needs it. $(2)" >&2; exit 1; }

# Every target that `make help` lists is a name and no file.
.PHONY: anew npm-is-there uv-is-there $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

npm-is-there:
	$(call need,npm,It comes with Node.js; on Debian .ci/browser installs both.)
uv-is-there:
	$(call need,uv,See https://docs.astral.sh/uv/)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

SERVE = $(BIN)/python -m tests.local $(if $(PORT),--port "$(PORT)") $(if $(APPS),--apps "$(APPS)") \
  $(if $(ISSUER),--issuer "$(ISSUER)") $(if $(ARIES),--aries "$(ARIES)") \
  $(if $(TOKEN_STORE),--token-store "$(TOKEN_STORE)") $(if $(filter-out 0,$(EVENTS)),--events) $(if $(filter-out 0,$(ONCE)),--once)

run: $(READY) ## start the whole product here and show one sign-in (ONCE=1 stops after it; PORT=9000 is the first port; APPS=apps.json adds your apps; TOKEN_STORE=row keeps tokens sealed in their rows; EVENTS=1 shows the events of sessions)
	@$(SERVE)

# The members of an event. make hands their values to the program in the environment, and their names on the command
# line.
OPERATE := ACTION OPERATOR SESSION USER_ID CLIENT_ID EVERYONE CONTINUE STATUS REMOVED_APP LIMIT DROP_LOST SECONDS EVENT
operate: $(READY) ## do an operator's action on the stack of `make run` (ACTION=check, SESSION=..., USER_ID=..., CLIENT_ID=..., EVENT='{...}')
	@$(BIN)/python -m tests.local.operate $(if $(PORT),--port $(PORT)) \
	  $(foreach word,$(OPERATE),$(if $(call given,$(word)),$(word)))

sam-local: build ## like run, with the functions in Lambda's containers (needs Docker or the like: see .ci/containers)
	@$(SERVE) --containers

# Three processes on two cores: some tests wait as long as they work. A process takes one test at a time, because the
# times of the tests differ much.
PYTEST := $(BIN)/python -m pytest
IN_PARALLEL := -n auto --maxschedchunk 1

test: $(READY) ## run the tests that find most, in five minutes on two cores (ARGS="-k refresh" are pytest's)
	@$(PYTEST) $(IN_PARALLEL) --quick $(ARGS)

test-coverage: $(READY) $(MINISTACK) ## run the tests of make test and the long ones, and measure their coverage (95 %, or it fails)
	@$(PYTEST) $(IN_PARALLEL) --cov --cov-report=term-missing:skip-covered $(ARGS)

# The tests that need more than an installed .venv: a marker of pytest (see pyproject.toml) and a folder for each
# target.
MARKED.check-bench := bench tests/bench
MARKED.check-build := built tests/built
MARKED.fuzz := fuzz tests/fuzz
MARKED.test-audit := audit tests/audit
MARKED.test-clients := clients tests/e2e
MARKED.test-deploy := deployed tests/deployed
MARKED.test-exhaustive := exhaustive tests/faults
MARKED.test-first-contact := first_contact tests/first_contact
MARKED.test-openapi := openapi tests/openapi
MARKED.test-sam := sam tests/e2e

# One pair of workers may take half an hour.
OPTIONS.test-exhaustive := $(IN_PARALLEL) -o faulthandler_timeout=7200

check-bench: build $(BESIDE) ## see that everything can be measured, and that a slow part is noticed; needs a python3.13
check-build: build ## test the built layers, and import them too if a python3.13 is at hand
fuzz: $(READY) $(FUZZ) ## fuzz all parsers and endpoints, led by their coverage, about a minute (on Linux, x86-64)
test-audit: npm-is-there $(READY) $(AUDIT) ## hold audit and sbom against services that know of holes, fail or lie, and the schema (needs npm)
test-clients: npm-is-there $(READY) $(CLIENTS) ## let OAuth clients and a browser use the broker (needs Node.js and Chromium: see .ci/browser)
test-deploy: build $(MINISTACK) ## deploy the stack to an AWS on this machine, and sign in with the stack's own rights only
test-exhaustive: $(READY) ## run the pairs and orders of faults that test-coverage leaves out; no part of test-all
test-first-contact: $(READY) ## install a clone and try it in hostile environments (needs git and npm, about 3 minutes)
test-openapi: $(READY) $(OPENAPI) ## hold the OpenAPI document against the standard and the running stack
test-sam: build ## run the sign-in and all events in Lambda's containers (needs Docker or the like: see .ci/containers)

$(patsubst MARKED.%,%,$(filter MARKED.%,$(.VARIABLES))):
	@PYTHON3_13="$(PYTHON3_13)" $(PYTEST) -m $(MARKED.$@) $(OPTIONS.$@) $(ARGS)

# The parts of `make test-all` in their order. Each part of TWO_AT_ONCE takes one core.
ONE_BY_ONE := check audit test-coverage
TWO_AT_ONCE := check-build test-deploy test-openapi test-audit fuzz test-first-contact
THEN := check-bench test-clients test-sam
# Some parts need more than make and Python. A command looks for it.
LOOK.audit = npm --version
LOOK.check-bench = [ -n "$(PYTHON3_13)" ]
LOOK.fuzz = [ "$$(uname -sm)" = "Linux x86_64" ]
LOOK.test-audit = npm --version
LOOK.test-clients = npm --version && { [ -n "$$CHROMIUM" ] || command -v chromium; }
LOOK.test-first-contact = npm --version && git --version
LOOK.test-sam = [ -n "$$DOCKER_HOST" ] || docker info
# If the tools of a part are missing, test-all names the part and leaves it out. With EVERY_TEST_MUST_RUN=1 it runs, and
# fails.
can_run = $(or $(filter-out 0,$(EVERY_TEST_MUST_RUN)),$(shell { $(or $(LOOK.$(1)),true); } >/dev/null 2>&1 && echo yes))
present = $(foreach part,$(1),$(if $(call can_run,$(part)),$(part)))
missing = $(filter-out $(call present,$(1)),$(1))

test-all: ## run every test and check of a commit, part by part; a part without its tools is named and left out
	@+$(MAKE) --jobs=1 $(call present,$(ONE_BY_ONE))
	@+$(MAKE) --jobs=2 --output-sync=target $(call present,$(TWO_AT_ONCE))
	@+$(if $(call present,$(THEN)),$(MAKE) --jobs=1 $(call present,$(THEN)))
	@$(foreach part,$(call missing,$(ONE_BY_ONE) $(TWO_AT_ONCE) $(THEN)),echo "Left out, because its tools are missing: make $(part)";)

audit: $(READY) $(AUDIT) ## ask for known holes in all locked packages (says so if no service can be asked)
	@$(BIN)/python -m tests.audit

sbom: $(READY) $(AUDIT) ## write the bill of materials of the deployed packages (CycloneDX) to sbom.json
	@$(BIN)/python -m tests.audit.sbom sbom.json

bench: build $(BESIDE) ## measure everything (PARTS="cold warm" alone; ROUNDS=7), some minutes; needs a python3.13
	@PYTHON3_13="$(PYTHON3_13)" PYTHONPATH=layers/oauth_broker $(BIN)/python -m tests.bench $(PARTS) \
	  $(if $(ROUNDS),--rounds $(ROUNDS))

cost: $(READY) ## tell the cost of a month at AWS (USERS=50000, REFRESHES=8 a day, SIGNINS=1 a month, PEAK=10 at the opening)
	@$(BIN)/python -m tests.bench.cost $(if $(USERS),--users "$(USERS)") $(if $(REFRESHES),--refreshes "$(REFRESHES)") \
	  $(if $(SIGNINS),--sign-ins "$(SIGNINS)") $(if $(PEAK),--peak "$(PEAK)")

check: $(READY) $(CHECKOV) ## check style, types and the template
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy functions layers/install.py layers/sam_version.py layers/oauth_broker/oauth_broker tests
	$(BIN)/python -m samcli validate
	$(BIN)/python -m samcli validate --lint
	$(BIN)/python -c 'import sys; from cfnlint.runner import main; sys.exit(main())' template.yaml
# Checkov alone passes a template that it cannot parse, or in which it finds no resource to check.
	@echo "checkov template.yaml"; \
	found="$$(CKV_PARSE_ERROR_FAIL=true $(CHECKOV:.ready=bin/python) -m checkov.main --framework cloudformation --file template.yaml \
	  --skip-download --compact --quiet)"; \
	status=$$?; echo "$$found"; \
	echo "$$found" | grep -q 'Passed checks: [1-9][0-9]' || { echo "It has checked next to nothing." >&2; exit 1; }; \
	exit $$status

check-config: $(READY) ## say offline if samconfig.toml (CONFIG_ENV=default) or APPS=apps.json would be refused, and why
	@$(BIN)/python -m tests.local.check_config \
	  $(if $(APPS),--apps "$(APPS)") $(if $(CONFIG_ENV),--config-env "$(CONFIG_ENV)")

# The Python of .venv builds the layers, and python3 on PATH does not matter. The make that builds them inherits no
# option of this make. SAM deploys the folder of a function as it is. The bytecode that tests left there is therefore
# removed first.
build: $(READY) ## build the functions and layers, without Docker
	@$(BIN)/python -I layers/sam_version.py --warn
	@find functions -name __pycache__ -prune -exec rm -rf {} +
	@SAM_CLI_ON_PATH=unused MAKEFLAGS= MFLAGS= PYTHON="$$PWD/$(BIN)/python" PYTHON3_13="$(PYTHON3_13)" $(BIN)/python -m samcli build

lock: uv-is-there npm-is-there ## pin the newest allowed packages anew, with their hashes (needs uv and npm)
	$(foreach lock,$(sort $(LOCKS) $(LOCKS_OF_THE_RUNTIME)),$(call pin,$(lock)))
	cd ./$(CLIENTS:/node_modules/.ready=) && npm update --global=false --location=project --dry-run=false --package-lock=true \
	  --engine-strict=false

# The layer's lock is the first in the order of sort. The tests' lock takes its versions from it.
define pin
uv pip compile --quiet --universal --generate-hashes --upgrade --custom-compile-command "make lock" \
  --python-version $(if $(filter $(LOCKS_OF_THE_RUNTIME),$(1)),3.13,3.11) $(1:.txt=.in) -o $(1)

endef

clean: ## remove everything that make has made here
	rm -rf $(ENVIRONMENTS) sbom.json $(CLIENTS:/.ready=) .aws-sam .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis .screenshots
	find functions layers tests -name __pycache__ -prune -exec rm -rf {} +

# make makes an environment anew if its lock file changes, or if the Python that made it is gone. An environment without
# its stamp counts as unfinished. Its programs are called as modules, because a script names the folder of its
# installation, and a clone may be moved.
.SECONDEXPANSION:
$(ENVIRONMENTS:%=%/.ready): %/.ready: $$(LOCK$$*) $$(if $$(realpath $$*/bin/python),,anew) | $$(BEFORE$$*)
	@$(or $(FIND_PYTHON$*),python=.venv/bin/python); "$$python" -I layers/install.py $(LOCK$*) --environment $*
	@touch $@

anew:

# The Python of .venv makes all environments but two.
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

# The OAuth clients of the npm registry, at the versions of the lock file. engine-strict is off, because Angular names a
# newer Node.js than the bundler needs.
$(CLIENTS): tests/e2e/clients/package-lock.json | npm-is-there
	@echo "Installing OAuth clients into $(@D), once ..."
	@cd ./$(<D) && npm ci --global=false --location=project --dry-run=false --package-lock=true --no-audit --no-fund --no-progress \
	  --engine-strict=false --fetch-retries 1 --loglevel error >&2 || \
	  { echo "$< was not installed. Can the npm registry be reached? npm_config_registry names another." >&2; exit 1; }
	@touch $@
