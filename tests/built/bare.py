"""Imports built modules as Lambda does, and reports the import. A bare python3.13 runs this program on its own.

``python3.13 -I -S -B -W error bare.py '["module", ...]' FOLDER...`` prints one JSON object. It can import the standard
library and the content of the folders. The folders come first, as in Lambda. It cannot reach the network.

It stands alone and uses no module of tests/support. If the folder of the tests were on the path, a function could
import from there a module missing from its layers.
"""

import importlib
import json
import os
import sys
from typing import Any

NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def main() -> None:
    """Import the modules and print the report."""
    modules, folders = json.loads(sys.argv[1]), [os.path.realpath(folder) for folder in sys.argv[2:]]
    sys.path[:0] = folders
    compiled: list[str] = []
    network: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        # If the code itself generates source and compiles it, the source has a name in angle brackets and no path.
        if event == "compile" and os.path.isabs(path := os.fsdecode(arguments[1])):
            compiled.append(path)
        if event in NETWORK:
            network.append(event)
            raise OSError(f"no network here: {event}")

    sys.addaudithook(watch)
    imported = [importlib.import_module(module) for module in modules]
    loaded = [module.__spec__ for module in list(sys.modules.values()) if module.__spec__ is not None]
    told = {
        "compiled": _below(folders, compiled),
        "loaded": _below(folders, [spec.origin for spec in loaded if spec.origin]),
        "bytecode": _below(folders, [spec.cached for spec in loaded if spec.cached and os.path.exists(spec.cached)]),
        "network": network,
        "handlers": [callable(getattr(module, "lambda_handler", None)) for module in imported],
    }
    print(json.dumps(told))


def _below(folders: list[str], paths: list[str]) -> list[str]:
    return sorted(path for path in paths if any(path.startswith(folder + os.sep) for folder in folders))


main()
