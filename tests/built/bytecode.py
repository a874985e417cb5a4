"""Reads a layer's bytecode, which only its own Python can: run by a bare python3.13 on its own.

``python3.13 -I -S -B bytecode.py LAYER`` prints a JSON object: for every ``.pyc`` below the folder, by its path in
there, the source that tracebacks will name, or what is wrong with it.
"""

import importlib.util
import json
import marshal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

# PEP 552: compiled from a source with this hash, which is not compared again when it is imported.
UNCHECKED_HASH = (1).to_bytes(4, "little")


def main() -> None:
    """Print what the bytecode of the layer is."""
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
