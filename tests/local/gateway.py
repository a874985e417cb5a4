"""SAM CLI's own local API Gateway, in this process, in front of the functions of the real template."""

from __future__ import annotations

import base64
import os
from typing import Any

from flask import Flask, Request, Response, g, jsonify, request
from samcli.lib.telemetry.event import EventTracker
from samcli.local.apigw.local_apigw_service import LocalApigwService
from samcli.local.apigw.route import Route

from tests.local.iam import LocalIam, SignedRequest
from tests.local.runner import Runner
from tests.local.serving import HOST
from tests.local.template import Template

_FORM = "application/x-www-form-urlencoded"


def gateway_app(template: Template, runner: Runner, port: int, iam: LocalIam, *, like_aws: bool) -> Flask:
    """Return the WSGI application of the template's HTTP API.

    If ``like_aws`` is true, its events and refusals are those of the real HTTP API: form bodies base64-encoded, header
    names in lower case, no empty body, the host as the domain name, and 404 without a route. Each request has an id:
    the function gets it, and every answer has it in the header ``apigw-requestid``. A route that asks IAM lets through
    what ``iam`` allows, and the function gets the sender's identity. Otherwise the events and refusals are those of
    ``sam local start-api``; they differ in each of these points. In particular it asks nobody. The functions must work
    behind both, and a function that needs an identity refuses there.
    """
    # SAM CLI counts requests for its telemetry, in a file in the home directory.
    EventTracker.track_event = _track_nothing
    service = (_HttpApi if like_aws else LocalApigwService)(template.api, runner, port=port, host=HOST)
    service.create()
    app: Flask = service._app
    if isinstance(service, _HttpApi):
        service.iam, service.signed_paths = iam, template.signed_paths()
        template.api.binary_media_types_set = {_FORM}
        for status in (404, 405):
            app.register_error_handler(status, _not_found)
        app.before_request(_give_an_id)
        app.after_request(_tell_the_id)
    return app


class _HttpApi(LocalApigwService):  # type: ignore[misc]
    """SAM CLI's gateway with the events of the real HTTP API.

    ``iam`` decides about requests of the routes in ``signed_paths``.
    """

    iam: LocalIam
    signed_paths: frozenset[str]

    def _request_handler(self, **arguments: Any) -> Any:
        # Flask accepts HEAD on every route for GET.
        if self._route_key(request.method, request.endpoint) not in self._dict_of_routes:
            return _not_found()
        if self._get_current_route(request).path in self.signed_paths:
            g.identity = self.iam.identity(
                SignedRequest(request.method, request.environ["RAW_URI"], dict(request.headers), request.get_data())
            )
            if g.identity is None:
                return _refused("Forbidden", 403)
        return super()._request_handler(**arguments)

    def _generate_lambda_event(
        self, flask_request: Request, route: Route, method: str, endpoint: str
    ) -> dict[str, Any]:
        event: dict[str, Any] = super()._generate_lambda_event(flask_request, route, method, endpoint)
        event["headers"] = {name.lower(): value for name, value in event["headers"].items()}
        if not event["body"]:
            del event["body"]
        event["requestContext"]["domainName"] = flask_request.host.partition(":")[0]
        event["requestContext"]["requestId"] = g.request_id
        event["rawPath"] = flask_request.environ["RAW_URI"].partition("?")[0]
        if "identity" in g:
            event["requestContext"]["authorizer"] = {"iam": g.identity}
        return event


def _track_nothing(**_: Any) -> None:
    pass


def _give_an_id() -> None:
    # The length and the alphabet of the real ids, as "JKJaXmPLvHcESHA=".
    g.request_id = base64.b64encode(os.urandom(11)).decode()


def _tell_the_id(response: Response) -> Response:
    response.headers["apigw-requestid"] = g.request_id
    return response


def _not_found(_: Exception | None = None) -> Response:
    return _refused("Not Found", 404)


def _refused(message: str, status: int) -> Response:
    response = jsonify(message=message)
    response.status_code = status
    return response
