"""The Aries token broker: a small OAuth 2.1 authorization server towards apps, an OAuth client towards Aries.

Imports point one way: handlers (``functions/<name>/app.py``) -> operations (``authorize``, ``callback``, ``redeem``,
``refresh``, ``revoke``, ``metadata``, ``cleanup``) -> adapters (``sign_ins``, ``vault``, ``escrow``, ``provider``,
``transport``) -> pure modules. Pure modules import no AWS library.
"""

from __future__ import annotations

import gc

# pyproject.toml says the same. It is not deployed, so that no function could read it.
VERSION = "1.0.0"

# Starting a function makes some hundred thousand objects that stay as long as its process. To look for cyclic garbage
# among them, again and again, took a tenth of a cold start. A request leaves some hundred objects in cycles, so that
# what is now found later is a few megabytes.
gc.set_threshold(100_000)
