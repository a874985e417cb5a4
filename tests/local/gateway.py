"""SAM CLI's own local API Gateway, in this process, in front of the functions of the real template."""

from __future__ import annotations

import base64
import os
from typing import Any

from flask import Flask, Request, Response, g, jsonify, request
from samcli.lib.telemetry.event import EventTracker
from samcli.local.apigw.local_apigw_service import LocalApigwService
from samcli.local.apigw.route import Route

from tests.local.runner import Runner
from tests.local.serving import HOST
from tests.local.template import Template

_FORM = "application/x-www-form-urlencoded"


def gateway_app(template: Template, runner: Runner, port: int, *, like_aws: bool) -> Flask:
    """Return the WSGI application of the template's HTTP API.

    If ``like_aws`` is true, its events and refusals are those of the real HTTP API: form bodies base64-encoded, header
    names in lower case, no empty body, the host as the domain name, and 404 without a route. Each request has an id:
    the function gets it, and every answer has it in the header ``apigw-requestid``. Otherwise the events and refusals
    are those of ``sam local start-api``; they differ in each of these points. The functions must work behind both.
    """
    # SAM CLI counts requests for its telemetry, in a file in the home directory.
    EventTracker.track_event = _track_nothing
    service = (_HttpApi if like_aws else LocalApigwService)(template.api, runner, port=port, host=HOST)
    service.create()
    app: Flask = service._app
    if like_aws:
        template.api.binary_media_types_set = {_FORM}
        for status in (404, 405):
            app.register_error_handler(status, _not_found)
        app.before_request(_give_an_id)
        app.after_request(_tell_the_id)
    return app


class _HttpApi(LocalApigwService):  # type: ignore[misc]
    """SAM CLI's gateway with the events of the real HTTP API."""

    def _request_handler(self, **arguments: Any) -> Any:
        # Flask accepts HEAD on every route for GET.
        if self._route_key(request.method, request.endpoint) not in self._dict_of_routes:
            return _not_found()
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
    response = jsonify(message="Not Found")
    response.status_code = 404
    return response
