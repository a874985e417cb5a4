"""Reads a layer's bytecode. This needs the layer's own Python, so a bare python3.13 runs this program on its own.

``python3.13 -I -S -B bytecode.py LAYER`` prints a JSON object. Each ``.pyc`` below the folder has its relative path as
the name, and as the value the source that tracebacks will name, or its defect.
"""

import importlib.util
import json
import marshal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

# PEP 552: the file holds the hash of its source, and an import does not compare the hash again.
UNCHECKED_HASH = (1).to_bytes(4, "little")


def main() -> None:
    """Print the sources or defects of the layer's bytecode."""
    layer = Path(sys.argv[1])
    print(json.dumps({str(path.relative_to(layer)): _told(path) for path in sorted(layer.rglob("*.pyc"))}))


def _told(path: Path) -> str:
    data, source = path.read_bytes(), Path(importlib.util.source_from_cache(str(path)))
    if data[:4] != importlib.util.MAGIC_NUMBER:
        return "of another Python"
    if data[4:8] != UNCHECKED_HASH:
        return "not of an unchecked hash"
    if data[8:16] != importlib.util.source_hash(source.read_bytes()):
        return "of another source"
    names = set(_file_names(marshal.loads(data[16:])))  # noqa: S302 - made by the build a moment ago
    return " and ".join(sorted(names))


def _file_names(code: CodeType) -> Iterator[str]:
    yield code.co_filename
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _file_names(constant)


main()
