"""Run a command with loopback as its only network: ``python alone.py COMMAND ...``, on Linux."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

NOT_PERMITTED = 77
_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def main() -> None:
    """Become the command. If a process may not have a network of its own here, exit with NOT_PERMITTED."""
    unshare = ctypes.CDLL(None).unshare
    if unshare(_CLONE_NEWNET) and unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        sys.exit(NOT_PERMITTED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is the caller's


if __name__ == "__main__":
    main()
