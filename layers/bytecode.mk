# Compiles the bytecode of a layer. Both layers' Makefiles include this file. The project's Makefile includes it for
# PYTHON3_13.
#
# Lambda's file system is read-only. Python therefore compiles a layer without bytecode at every cold start, and its
# imports take more than twice as long. Lambda uses bytecode of its own minor version only. The bytecode therefore needs
# a python3.13, and any Python can build the rest. PYTHON3_13=/path/to/python3.13 names one. If it is not given, make
# looks on PATH, among pyenv's versions and among uv's. make runs each candidate, because a pyenv shim also exists for a
# version that is not active, and then fails. Python runs with -I: no variable of the caller changes its work.
PYTHON3_13 ?= $(shell \
  for candidate in python3.13 \
      "$$(pyenv root 2>/dev/null)"/versions/3.13*/bin/python3.13 \
      "$$HOME"/.pyenv/versions/3.13*/bin/python3.13 \
      "$$HOME"/.local/share/uv/python/cpython-3.13*/bin/python3.13; do \
    if "$$candidate" -I -c 'import sys; sys.exit(sys.implementation.cache_tag != "cpython-313")' 2>/dev/null; then \
      echo "$$candidate"; break; \
    fi; \
  done)

# A make of SAM CLI builds the layers. Its lines about folders tell nothing.
MAKEFLAGS += --no-print-directory

# unchecked-hash: packaging changes the time stamps of the source, and Lambda's loader need not compare the bytecode
# with it. Tracebacks show the paths of the layer in Lambda. COMPILE has more options of compileall.
define compile_layer
@if [ -z "$(PYTHON3_13)" ]; then \
  echo "$@: no python3.13 found, so the layer has no compiled bytecode: it works, with slower cold starts." \
       "(Set PYTHON3_13 to one.)"; \
else \
  "$(PYTHON3_13)" -I -c 'import sys; \
    sys.exit(sys.implementation.cache_tag != "cpython-313" and "PYTHON3_13 is not CPython 3.13")' && \
  "$(PYTHON3_13)" -I -m compileall -q -j 0 $(COMPILE) --invalidation-mode unchecked-hash \
    -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)/python" && \
  echo "$@: bytecode compiled with $(PYTHON3_13)"; \
fi
endef
