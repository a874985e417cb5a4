"""The same broker by a Python team with Flask, Authlib and boto3. The benchmark compares ours with it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import boto3
from apig_wsgi import make_lambda_handler
from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, abort, redirect, request, session
from werkzeug.wrappers import Response as AnyResponse

from tests.bench.beside_flask.aries import Aries, AriesRefused, AriesUnavailable
from tests.bench.beside_flask.secret_store import SecretStore
from tests.bench.beside_flask.server import App, BrokerServer
from tests.bench.beside_flask.sessions import Conflict, Session, Sessions, new_handle
from tests.bench.beside_flask.telemetry import logger, metrics

# The same timeouts and retries as in our functions.
_AWS = Config(connect_timeout=1, read_timeout=1.5, retries={"mode": "standard", "total_max_attempts": 2})


def create_handler(config: dict[str, str]) -> Callable[[Any, Any], Any]:
    """Make the handler of the single Lambda function for the application."""
    handler: Callable[[Any, Any], Any] = metrics.log_metrics(make_lambda_handler(create_app(config)))
    return handler


def create_app(config: dict[str, str]) -> Flask:
    """Make the application and all its clients once."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=config["SECRET_KEY"],
        SESSION_COOKIE_NAME="__Host-sign-in",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    secret_store = SecretStore(boto3.client("secretsmanager", config=_AWS), config)
    sessions = Sessions(boto3.client("dynamodb", config=_AWS), config["TABLE_NAME"])
    aries = Aries(config, secret_store.client_secret)
    server = BrokerServer(_apps(config["APPS"]), sessions, secret_store, aries)
    server.init_app(app)
    _serve_sign_ins(app, server, config["ISSUER"])
    _serve_tokens(app, server)
    return app


def _serve_sign_ins(app: Flask, server: BrokerServer, issuer: str) -> None:
    """Add the endpoints for the browser."""

    @app.get("/oauth2/authorize")
    def authorize() -> AnyResponse:
        try:
            grant = server.get_consent_grant()
        except OAuth2Error as error:
            refusal: AnyResponse = server.handle_error_response(None, error)
            return refusal
        asked = grant.request.payload
        signing_in = Session(
            session_id=secrets.token_urlsafe(32),
            client_id=asked.client_id,
            redirect_uri=grant.redirect_uri,
            scope=grant.request.scope,
            state=asked.state or "",
            code_challenge=asked.data["code_challenge"],
            code_verifier=secrets.token_urlsafe(48),
        )
        server.sessions.create(signing_in)
        session["sign_in"] = signing_in.session_id
        _tell("SignInsStarted", client_id=signing_in.client_id)
        return redirect(
            server.aries.authorization_url(signing_in.session_id, signing_in.scope, signing_in.code_verifier)
        )

    @app.get("/oauth2/callback")
    def callback() -> AnyResponse:
        state = request.args.get("state", "")
        if not state or session.pop("sign_in", None) != state:
            abort(400, "This sign-in was begun in another browser, or is over.")
        try:
            signing_in = server.sessions.claim(state)
        except Conflict:
            abort(400, "This sign-in is over.")
        answer = _come_back(server, signing_in)
        if signing_in.state:
            answer["state"] = signing_in.state
        return redirect(add_params_to_uri(signing_in.redirect_uri, {**answer, "iss": issuer}))


def _come_back(server: BrokerServer, signing_in: Session) -> dict[str, str]:
    """Exchange the code of Aries; return the parameters for the app."""
    if "code" not in request.args:
        return {"error": "access_denied"}
    try:
        tokens = server.aries.exchange(request.args["code"], signing_in.code_verifier)
    except AriesRefused:
        return {"error": "access_denied"}
    except AriesUnavailable:
        return {"error": "temporarily_unavailable"}
    server.secret_store.create(signing_in.session_id, tokens)
    code = new_handle(signing_in.session_id)
    server.sessions.issue(signing_in.session_id, code)
    _tell("CodesIssued", client_id=signing_in.client_id)
    return {"code": code}


def _serve_tokens(app: Flask, server: BrokerServer) -> None:
    """Add the endpoints for the app."""

    @app.post("/oauth2/token")
    def token() -> Response:
        response: Response = server.create_token_response()
        grant = "Refreshes" if request.form.get("grant_type") == "refresh_token" else "SignIns"
        _tell(f"{grant}{'Succeeded' if response.status_code == HTTPStatus.OK else 'Rejected'}")
        return response

    @app.post("/oauth2/revoke")
    def revoke() -> Response:
        response: Response = server.create_endpoint_response("revocation")
        _tell("SignOuts", status=response.status_code)
        return response

    @app.errorhandler(AriesUnavailable)
    @app.errorhandler(BotoCoreError)
    @app.errorhandler(ClientError)
    def unavailable(error: Exception) -> tuple[dict[str, str], int, dict[str, str]]:
        _tell("Unavailable", error=type(error).__name__)
        return {"message": "Try again later."}, 503, {"Retry-After": "2"}


def _tell(metric: str, **more: object) -> None:
    metrics.add_metric(name=metric, unit=MetricUnit.Count, value=1)
    logger.info(metric, extra=more)


def _apps(registered: str) -> dict[str, App]:
    return {
        client_id: App(client_id, frozenset(about["redirect_uris"]), frozenset(about["scopes"]))
        for client_id, about in json.loads(registered).items()
    }
