"""Ports for a stack whose ports are to be known beforehand."""

from __future__ import annotations

import secrets
import socket

from tests.local.serving import HOST


def five_free_ports() -> int:
    """Return the first; below the ports that the system gives away by itself."""
    while True:
        base = 20_000 + secrets.randbelow(10_000)
        try:
            for port in range(base, base + 5):
                socket.create_server((HOST, port)).close()
        except OSError:
            continue
        return base
