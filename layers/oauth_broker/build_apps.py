"""Puts a file of registered apps into the layer: ``python3 -I build_apps.py FROM TO``, run by the layer's Makefile.

A file that no function could start with ends the build, with the app, the member and the rule that is broken.
"""

import sys
from pathlib import Path

# Run with -I, which keeps the caller's variables out, Python does not look into this folder by itself.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from oauth_broker.config.clients import Registry, read_text
from oauth_broker.errors import ConfigurationError


def main(source: str, target: str) -> None:
    """Check the file and copy it; exits with a message where it cannot be used."""
    try:
        text = read_text(Path(source))
        registry = Registry.parse(text, source)
    except ConfigurationError as error:
        sys.exit(error.reason)
    Path(target).write_text(text, "utf-8")
    # The account that runs the function is another one.
    Path(target).chmod(0o644)
    print(f"apps.json: {len(registry.clients)} registered apps")


main(*sys.argv[1:])
