"""Serves the page for the app: static files, and the few facts to build into an app."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flask import Flask, Response, jsonify

_PAGE = Path(__file__).with_name("phone")


def phone_app(config: Mapping[str, str | int]) -> Flask:
    """Return the WSGI application.

    ``config``: ``issuer``, ``client_id``, ``redirect_uri``, ``scope``, ``api`` and ``refresh_grace`` (seconds).
    """
    app = Flask(__name__, static_folder=_PAGE, static_url_path="")
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; connect-src 'self' {config['issuer']} {config['api']}"
    )

    @app.get("/")
    def page() -> Response:
        return app.send_static_file("index.html")

    @app.get("/config.json")
    def configuration() -> Response:
        return jsonify(config)

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app
