"""The first step of a process after its restore from a snapshot of its initialised state (AWS Lambda SnapStart).

Every copy of a snapshot begins with the same memory. A value must not be in memory if it has to differ from copy to
copy. The broker's own random bytes come from ``os.urandom``, that is, from the kernel, and Lambda gives the kernel new
entropy. Two generators live in memory. The TLS contexts of the AWS clients have already started OpenSSL's generator,
and it makes the keys of connections. The generator of ``random`` paces the retries of the AWS SDK.
"""

from __future__ import annotations

import os
import random
import ssl

_SEED_BYTES = 32


def reseed_when_restored() -> None:
    """Have this process reseed at every restore. Does nothing if there are no snapshots."""
    try:
        # A module of Lambda's runtime.
        import snapshot_restore_py  # type: ignore[import-not-found]  # noqa: PLC0415
    except ModuleNotFoundError:
        return
    snapshot_restore_py.register_after_restore(reseed)


def reseed() -> None:
    """Give the generators in memory a seed of this copy alone."""
    ssl.RAND_add(os.urandom(_SEED_BYTES), float(_SEED_BYTES))
    random.seed()
