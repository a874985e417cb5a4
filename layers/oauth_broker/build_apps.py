"""Puts a file of registered apps into the layer: ``python3 -I build_apps.py FROM TO``, run by the layer's Makefile.

If no function could start with the file, the build ends and names the app, the member and the broken rule.
"""

import sys
from pathlib import Path

# Python runs with -I, which keeps the caller's variables out. It then does not search this folder by itself.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from oauth_broker.config.clients import Registry, read_text
from oauth_broker.errors import ConfigurationError


def main(source: str, target: str) -> None:
    """Check the file and copy it; exits with a message if the file cannot be used."""
    try:
        text = read_text(Path(source))
        registry = Registry.parse(text, source)
    except ConfigurationError as error:
        sys.exit(error.reason)
    Path(target).write_text(text, "utf-8")
    # Another user runs the function and must be able to read the file.
    Path(target).chmod(0o644)
    print(f"apps.json: {len(registry.clients)} registered apps")


main(*sys.argv[1:])
