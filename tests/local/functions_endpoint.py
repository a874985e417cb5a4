"""SAM CLI's own local Lambda endpoint, in this process, for ``aws lambda invoke --endpoint-url``."""

from __future__ import annotations

from flask import Flask
from samcli.local.lambda_service.local_lambda_http_service import LocalLambdaHttpService

from tests.local.runner import Runner
from tests.local.serving import HOST


def functions_app(runner: Runner, port: int) -> Flask:
    """Return the WSGI application of ``sam local start-lambda``: it invokes functions by their logical ids."""
    service = LocalLambdaHttpService(runner, port=port, host=HOST)
    service.create()
    app: Flask = service._app
    return app
