"""The endpoint for backends, which read JSON in every answer of the broker's own but a 500."""

from __future__ import annotations

from http import HTTPStatus

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.operations.endpoint import Endpoint, retry_after
from oauth_broker.web.http import HttpResponse, json_response


class BackendEndpoint(Endpoint):
    """An endpoint whose caller is no OAuth library, so that a temporary failure can be JSON like the others."""

    def unavailable(self, error: ServiceUnavailable, request_id: str) -> HttpResponse:
        """Answer a temporary failure: the same request succeeds after ``Retry-After`` seconds."""
        members = {
            "error": "temporarily_unavailable",
            "error_description": "Nothing is lost. Send the same request again after the time in Retry-After.",
            "request_id": request_id,
        }
        return json_response(members, HTTPStatus.SERVICE_UNAVAILABLE, retry_after(error))
