"""The HTTP layer: reads requests, asks the core, writes answers. Every rule is the core's."""

from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from threading import Event
from typing import Any
from urllib.parse import unquote_plus

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import RequestEntityTooLarge

from tests.local.aries.answers import TRAP_PATH, Answer, JsonAnswer, proper
from tests.local.aries.bodies import parse_body
from tests.local.aries.consent import ConsentForms
from tests.local.aries.core import AriesCore
from tests.local.aries.dialects import Dialect
from tests.local.aries.errors import (
    BearerError,
    InvalidClient,
    InvalidRequest,
    NoAccessToken,
    PageRefusal,
    RedirectRefusal,
    TokenError,
)
from tests.local.aries.faults import Fault, FaultSwitches
from tests.local.aries.recording import Recorder
from tests.local.aries.tokens import USERS, new_access_token, new_refresh_token
from tests.local.aries.wire import Connection

AUTHORIZE_PATH = "/oauth2/authorize"
TOKEN_PATH = "/v1/oauth2/token"
PROFILE_PATH = "/v1/users/me"
FAULTS_PATH = "/__control/faults"
REQUESTS_PATH = "/__control/requests"

_MAX_REQUEST_BYTES = 64 * 1024

# No form-action: browsers also apply it to the redirect after the form, and that may lead to any registered URI.
_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# As for an API of single-page apps: any origin, because the token in the header is the only authority.
_CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "Authorization",
    "Access-Control-Expose-Headers": "WWW-Authenticate",
    "Access-Control-Max-Age": "600",
}

_SCOPE_TEXTS = {
    "user:information": "See your name and email address",
    "account:information": "See your accounts, balances and positions",
    "order:execution": "Place, change and cancel orders for you",
    "order:information": "See your orders",
    "market:information": "See market data",
}


def create_app(core: AriesCore, recorder: Recorder, faults: FaultSwitches, stopping: Callable[[], Event]) -> Flask:
    """The whole simulator as a WSGI application, to be served by werkzeug (the faults need `werkzeug.socket`)."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_REQUEST_BYTES
    # A ConnectionCut must reach the server unchanged, and a bug must too.
    app.config["PROPAGATE_EXCEPTIONS"] = True
    _add_pages(app, core, recorder)
    _add_token_endpoint(app, core, recorder, faults, stopping)
    _add_profile(app, core, recorder)
    _add_control(app, recorder, faults)
    return app


def _add_pages(app: Flask, core: AriesCore, recorder: Recorder) -> None:
    forms = ConsentForms(core)

    @app.get(AUTHORIZE_PATH)
    def ask() -> Response:
        recorder.record("authorize", dict(request.args), dict(request.headers))
        checked = core.authorize(request.query_string.decode("latin-1"))
        scopes = [(scope, _SCOPE_TEXTS.get(scope)) for scope in checked.scopes]
        page = render_template(
            "consent.html",
            authorization=checked,
            scopes=scopes,
            users=USERS,
            form_token=forms.open(checked),
            path=AUTHORIZE_PATH,
        )
        return make_response(page, _PAGE_HEADERS)

    @app.post(AUTHORIZE_PATH)
    def decide() -> Response:
        recorder.record("decision", dict(request.form), dict(request.headers))
        form = request.form
        location = forms.decide(form.get("form_token", ""), form.get("decision", ""), form.get("user", USERS[0].id))
        return _redirect(location)

    @app.errorhandler(PageRefusal)
    def refuse_on_page(refusal: PageRefusal) -> Response:
        return make_response(
            render_template("refused.html", reason=str(refusal)), HTTPStatus.BAD_REQUEST, _PAGE_HEADERS
        )

    @app.errorhandler(RedirectRefusal)
    def refuse_by_redirect(refusal: RedirectRefusal) -> Response:
        return _redirect(refusal.location)


def _add_token_endpoint(
    app: Flask, core: AriesCore, recorder: Recorder, faults: FaultSwitches, stopping: Callable[[], Event]
) -> None:
    def counterfeit() -> JsonAnswer:
        """A plausible success, with tokens unknown to Aries."""
        scope = " ".join(core.scopes)
        tokens = {"access_token": new_access_token("nobody", scope, core.now(), 3600), "token_type": "Bearer"}
        return JsonAnswer(200, {**tokens, "expires_in": 3600, "refresh_token": new_refresh_token(), "scope": scope})

    @app.post(TOKEN_PATH)
    def token() -> Response:
        received = _read_token_request(core.dialect)
        body = None if isinstance(received, TokenError) else received
        recorder.record("token", body, dict(request.headers))

        def process() -> JsonAnswer:
            if isinstance(received, TokenError):
                return JsonAnswer(received.status, received.body())
            return JsonAnswer(*core.token(received))

        known = body or {}
        with recorder.in_flight(core.family_of(known.get("refresh_token"))):
            fault = faults.take(known.get("grant_type"))
            if fault is None:
                return _response(proper(process()))
            connection = Connection(request.environ["werkzeug.socket"], stopping())
            return _response(connection.perform(fault, process, counterfeit))

    @app.route(TRAP_PATH, methods=["GET", "POST"])
    def trap() -> Response:
        recorder.record("trap", None, dict(request.headers))
        return _response(proper(counterfeit()))


def _read_token_request(dialect: Dialect) -> dict[str, object] | TokenError:
    try:
        if request.query_string:
            return InvalidRequest("Parameters belong in the body")
        body = parse_body(request.get_data(), request.content_type, dialect.content_type)
        return body | _credentials(body) if dialect.client_by_basic else body
    except RequestEntityTooLarge:
        return InvalidRequest("The body is too large")
    except TokenError as refusal:
        return refusal


def _credentials(body: dict[str, object]) -> dict[str, object]:
    """Return the client's name and secret by HTTP Basic, each encoded as in a form (RFC 6749 section 2.3.1)."""
    if {"client_id", "client_secret"} & body.keys():
        raise InvalidRequest("The client authenticates by HTTP Basic, and not in the body too")
    sent = request.authorization
    if sent is None or sent.type != "basic":
        raise InvalidClient
    return {"client_id": unquote_plus(sent.username or ""), "client_secret": unquote_plus(sent.password or "")}


def _add_profile(app: Flask, core: AriesCore, recorder: Recorder) -> None:
    # Flask would answer OPTIONS by itself, without the headers.
    @app.get(PROFILE_PATH, provide_automatic_options=False)
    def profile() -> Response:
        recorder.record("users/me", None, dict(request.headers))
        # Not request.authorization: a scheme alone, or one of another kind, is no access token.
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not access_token:
            raise NoAccessToken
        return make_response(jsonify(asdict(core.user(access_token))), _CORS_HEADERS | {"Cache-Control": "no-store"})

    @app.route(PROFILE_PATH, methods=["OPTIONS"])
    def preflight() -> Response:
        return make_response("", HTTPStatus.NO_CONTENT, _CORS_HEADERS)

    @app.errorhandler(BearerError)
    def refuse(error: BearerError) -> Response:
        return make_response("", error.status, _CORS_HEADERS | {"WWW-Authenticate": error.challenge})


def _add_control(app: Flask, recorder: Recorder, faults: FaultSwitches) -> None:
    """For tests in other processes. A foreign web page can neither read nor write here, because CORS is not allowed."""

    @app.post(FAULTS_PATH)
    def add_faults() -> Response:
        wanted: Any = request.get_json()
        try:
            for fault in [Fault(**item) for item in (wanted if isinstance(wanted, list) else [wanted])]:
                faults.append(fault)
        except (TypeError, ValueError) as error:
            return make_response(jsonify(message=str(error)), HTTPStatus.BAD_REQUEST)
        return make_response(jsonify(waiting=len(faults)))

    @app.delete(FAULTS_PATH)
    def clear_faults() -> Response:
        faults.clear()
        return make_response(jsonify(waiting=0))

    @app.get(REQUESTS_PATH)
    def show_requests() -> Response:
        return make_response(jsonify([asdict(recorded) for recorded in recorder.requests]))


def _redirect(location: str) -> Response:
    return make_response("", HTTPStatus.FOUND, _PAGE_HEADERS | {"Location": location})


def _response(answer: Answer) -> Response:
    return make_response(answer.body, answer.status, answer.all_headers())
