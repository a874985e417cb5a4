"""The Aries token broker: a small OAuth 2.1 authorization server towards apps, an OAuth client towards Aries.

The ground (``errors``, ``secret``, ``strict_json``, ``clock``) serves every module. Eight rooms stand above it:

* ``config``: the decisions of a deployment.
* ``web``: HTTP as API Gateway hands it over.
* ``runtime``: Lambda and the AWS SDK.
* ``oauth``: the protocol towards apps. It is pure.
* ``aries``: the OAuth client towards Aries.
* ``sessions``: a sign-in, the session it becomes, and the stores of their parts.
* ``operations``: one module for the work of each function. ``parts`` puts the parts together.
* ``operator``: the actions of a person on call.

A room imports only from rooms before it in this list, and not from all of them. ``tests/unit/test_rooms.py`` holds the
rule.
"""

from __future__ import annotations

import gc

# pyproject.toml has the same number. No function can read that file, because it is not deployed.
VERSION = "1.0.0"

# A cold start makes some hundred thousand objects. They live as long as the process. Repeated searches for cyclic
# garbage among them took a tenth of a cold start. The last step of a start lowers the number: see ``runtime/start.py``.
gc.set_threshold(150_000)
