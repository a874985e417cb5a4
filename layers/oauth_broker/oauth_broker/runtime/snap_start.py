"""What a process does when it comes back to life from a snapshot of its initialised state (AWS Lambda SnapStart).

Every copy of a snapshot begins with the same memory, so nothing that must differ from copy to copy may be in it. What
the broker itself draws comes from ``os.urandom``, that is, from the kernel, which Lambda gives new entropy. Two
generators live in memory: OpenSSL's, which the TLS contexts of the AWS clients have woken by then and from which the
keys of connections come, and that of ``random``, by which the AWS SDK paces its repetitions.
"""

from __future__ import annotations

import os
import random
import ssl

_SEED_BYTES = 32


def reseed_when_restored() -> None:
    """Have this process reseed whenever it is restored; does nothing where there are no snapshots."""
    try:
        # A module of Lambda's runtime.
        import snapshot_restore_py  # type: ignore[import-not-found]  # noqa: PLC0415
    except ModuleNotFoundError:
        return
    snapshot_restore_py.register_after_restore(reseed)


def reseed() -> None:
    """Give the generators that live in memory a seed that no other copy has."""
    ssl.RAND_add(os.urandom(_SEED_BYTES), float(_SEED_BYTES))
    random.seed()
