"""The Aries token broker: a small OAuth 2.1 authorization server towards apps, an OAuth client towards Aries.

Imports point one way: handlers (``functions/<name>/app.py``) -> operations (``authorize``, ``callback``, ``redeem``,
``refresh``, ``revoke``, ``metadata``, ``cleanup``) -> adapters (``sign_ins``, ``vault``, ``escrow``, ``provider``,
``transport``) -> pure modules. Pure modules import no AWS library.
"""
