# Compiled bytecode for a layer: included by both layers' Makefiles, and by the project's own for PYTHON3_13.
#
# Lambda's file system is read-only: a layer without bytecode is compiled anew at every cold start, which more than
# doubles the time its imports take. Only bytecode of the runtime's own minor version counts, so it needs a python3.13,
# while any Python can build the rest. Name one with PYTHON3_13=/path/to/python3.13, or let it be found here: on PATH,
# among pyenv's versions, or among uv's. (A pyenv shim exists for versions that are not active and then fails, so each
# candidate is run, not just looked for.) Python runs with -I, so that none of the caller's variables changes what it does.
PYTHON3_13 ?= $(shell \
  for candidate in python3.13 \
      "$$(pyenv root 2>/dev/null)"/versions/3.13*/bin/python3.13 \
      "$$HOME"/.pyenv/versions/3.13*/bin/python3.13 \
      "$$HOME"/.local/share/uv/python/cpython-3.13*/bin/python3.13; do \
    if "$$candidate" -I -c 'import sys; sys.exit(sys.implementation.cache_tag != "cpython-313")' 2>/dev/null; then \
      echo "$$candidate"; break; \
    fi; \
  done)

# The layers are built by a make of SAM CLI's, whose comings and goings are of no interest.
MAKEFLAGS += --no-print-directory

# Unchecked: Lambda's loader need not compare it with the source, whose time stamp packaging changes. The paths in
# tracebacks are those of the layer in Lambda.
define compile_layer
@if [ -z "$(PYTHON3_13)" ]; then \
  echo "$@: no python3.13 found, so the layer has no compiled bytecode: it works, with slower cold starts." \
       "(Set PYTHON3_13 to one.)"; \
else \
  "$(PYTHON3_13)" -I -c 'import sys; \
    sys.exit(sys.implementation.cache_tag != "cpython-313" and "PYTHON3_13 is not CPython 3.13")' && \
  "$(PYTHON3_13)" -I -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)/python" && \
  echo "$@: bytecode compiled with $(PYTHON3_13)"; \
fi
endef
