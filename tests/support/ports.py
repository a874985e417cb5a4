"""Ports for a stack, known before the stack starts."""

from __future__ import annotations

import secrets
import socket

from tests.local.serving import HOST


def five_free_ports() -> int:
    """Return the first of the five ports. They are below the range from which the system takes ports by itself."""
    while True:
        base = 20_000 + secrets.randbelow(10_000)
        try:
            for port in range(base, base + 5):
                socket.create_server((HOST, port)).close()
        except OSError:
            continue
        return base
