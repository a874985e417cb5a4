"""The Aries token broker: a small OAuth 2.1 authorization server towards apps, an OAuth client towards Aries.

The ground (``errors``, ``secret``, ``strict_json``, ``clock``) is what everybody uses. Above it stand eight rooms:

* ``config``: what a deployment decides.
* ``web``: HTTP as API Gateway hands it over.
* ``runtime``: Lambda and the AWS SDK.
* ``oauth``: the protocol towards apps. It is pure.
* ``aries``: the OAuth client towards Aries.
* ``sessions``: a sign-in and the session it becomes, wherever its parts are stored.
* ``operations``: one module for what each function does. ``parts`` puts the parts together.
* ``operator``: what a person on call does.

A room imports only from rooms that stand before it in this list, and not from all of them. ``tests/unit/test_rooms.py``
holds the rule.
"""

from __future__ import annotations

import gc

# pyproject.toml says the same. It is not deployed, so that no function could read it.
VERSION = "1.0.0"

# Starting a function makes some hundred thousand objects that stay as long as its process. To look for cyclic garbage
# among them, again and again, took a tenth of a cold start. A request leaves some hundred objects in cycles, so that
# what is now found later is a few megabytes.
gc.set_threshold(100_000)
