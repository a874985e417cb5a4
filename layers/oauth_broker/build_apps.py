"""Puts a file of registered apps into the layer: ``python3 -I build_apps.py FROM TO``, run by the layer's Makefile.

If a function could not start with the file, the build ends. The message names the app, the member and the broken rule.
"""

import sys
from pathlib import Path

# The option -I keeps out the caller's variables, but also this folder.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from oauth_broker.config.clients import Registry, read_text
from oauth_broker.errors import ConfigurationError


def main(source: str, target: str) -> None:
    """Check the file and copy it. Exits with a message if the file is unusable."""
    try:
        text = read_text(Path(source))
        registry = Registry.parse(text, source)
    except ConfigurationError as error:
        sys.exit(error.reason)
    Path(target).write_text(text, "utf-8")
    # Another account runs the function.
    Path(target).chmod(0o644)
    print(f"apps.json: {len(registry.clients)} registered apps")


main(*sys.argv[1:])
