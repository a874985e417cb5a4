"""The whole product on one machine: gateway, functions, AWS, Aries and an app, on loopback ports of this process."""

from __future__ import annotations

import io
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from threading import Lock
from types import TracebackType
from typing import Any, Literal, Self, TextIO

from tests.local.apps import PHONE, SCOPES, local_apps
from tests.local.aries import AriesCore, AriesSimulator
from tests.local.aries.dialects import DialectName
from tests.local.aries.tokens import Rotation
from tests.local.aries.web import AUTHORIZE_PATH
from tests.local.aws import REGION, LocalAws
from tests.local.environment import ProcessEnvironment, apart_from_the_callers_aws
from tests.local.events import BUS, ReceivedEvents
from tests.local.functions_endpoint import functions_app
from tests.local.gateway import gateway_app
from tests.local.iam import LocalIam
from tests.local.operate import PORT_OFFSET
from tests.local.phone import phone_app
from tests.local.runner import InProcessRunner, Runner
from tests.local.serving import HOST, LoopbackServer, port_taken
from tests.local.sweeper import TimeToLive
from tests.local.template import Template

ARIES_CLIENT_ID = "aries-client"
ARIES_CLIENT_SECRET = "the-client-secret-that-only-the-broker-and-aries-know"

# Requests to this machine never go through a proxy.
_PROXIES = {"NO_PROXY": HOST, "no_proxy": HOST}

# A process has one environment and one set of moto's resources.
_one_at_a_time = Lock()


class LocalStack:
    """A context manager: entry starts everything, and exit stops it.

    ``issuer``, ``aries``, ``aws``, ``phone`` and ``functions`` are the URLs of the servers, without a trailing slash.
    ``functions`` is Lambda's endpoint: it invokes functions by their logical ids. ``iam`` has a role for the backend of
    each app that is registered with one.
    """

    issuer: str
    aries: str
    aws: str
    phone: str
    functions: str
    aries_simulator: AriesSimulator
    template: Template
    runner: Runner
    parameters: dict[str, str]
    apps: dict[str, Mapping[str, Any]]
    iam: LocalIam
    table: str
    dead_letter_queue: str
    key: str
    received: ReceivedEvents | None = None

    def __init__(
        self,
        *,
        port: int = 0,
        issuer: str | None = None,
        aries: str | None = None,
        refresh_grace: int = 2,
        late_retry: Literal["allow", "revoke"] = "allow",
        token_store: Literal["secrets", "row"] = "secrets",
        events: bool = False,
        dialect: DialectName = "aries",
        rotation: Rotation = "strict",
        client_secret: bool = True,
        apps: Mapping[str, Mapping[str, Any]] | None = None,
        parameters: Mapping[str, str] | None = None,
        aries_options: Mapping[str, Any] | None = None,
        like_aws: bool = True,
        log: TextIO | None = None,
    ) -> None:
        """Note the options.

        ``port`` is the issuer's; Aries, AWS, the phone page and Lambda take the next four ports; 0 takes any five.
        ``issuer`` and ``aries`` are origins of these two for callers from elsewhere, such as those of a tunnel; the
        servers stay on loopback. ``refresh_grace`` (seconds) is short: a person can then see a refresh reach Aries. If
        ``client_secret`` is false, the broker issues no refresh tokens. ``apps`` are added to the local ones; an app
        with the same client id replaces the local one. ``rotation`` is Aries' rule for refresh tokens.
        With ``events`` the stack has an event bus, and ``received`` holds the events of its sessions.
        ``aries_options`` are more arguments of its simulator, and ``parameters`` more parameters of the template. The
        template explains ``token_store``, and ``gateway_app`` explains ``like_aws``. The functions' output goes to
        ``log``.
        """
        self.refresh_grace = refresh_grace
        self.log: TextIO = log or io.StringIO()
        self.scope = " ".join(SCOPES)
        self.token_store = token_store
        self._port = port
        self._issuer = issuer
        self._aries = aries
        self._with_secret = client_secret
        self._apps = apps or {}
        self._aries_options = {"dialect": dialect, "rotation": rotation, **(aries_options or {})}
        self._like_aws = like_aws
        self._events = events
        self._parameters = {
            "AriesClientId": ARIES_CLIENT_ID,
            "ProviderDialect": dialect,
            "RefreshGraceSeconds": str(refresh_grace),
            "LateRetry": late_retry,
            "TokenStore": token_store,
            "BackendAccess": "true",
            **(parameters or {}),
        }
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start everything. Raises PortTaken, or RuntimeError if another stack runs in this process."""
        with ExitStack() as started:
            if not _one_at_a_time.acquire(blocking=False):
                raise RuntimeError("Another LocalStack is running in this process")
            started.callback(_one_at_a_time.release)
            self._start(started)
            self._running = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, in the opposite order."""
        self._running.close()

    @property
    def asks_iam(self) -> bool:
        """Whether the gateway asks IAM at the routes that need it."""
        return self._like_aws

    def client(self, service: str) -> Any:
        """Make a boto3 client of ``dynamodb``, ``dynamodbstreams``, ``secretsmanager``, ``kms`` or ``sqs``."""
        return self._aws.client(service)

    def invoke(self, function: str, event: Any) -> Any:
        """Call the function with this logical id; return its answer, or ``{"errorMessage", "errorType"}``."""
        return json.loads(self.runner.run(function, json.dumps(event)))

    def _start(self, started: ExitStack) -> None:
        environment = ProcessEnvironment()
        started.callback(environment.restore)
        environment.set({**apart_from_the_callers_aws(os.environ, REGION), "AWS_REGION": REGION, **_PROXIES})
        gateway, phone = (self._take_port(started, offset) for offset in (0, 3))
        self.issuer, self.phone = self._issuer or gateway.url, phone.url
        self.aries_simulator = self._start_aries(started)
        self.aries = self._aries or self.aries_simulator.url
        self._aws = LocalAws(self._port_at(2))
        started.callback(self._aws.close)
        self.aws = self._aws.url
        self.apps = {**local_apps(self.phone), **self._apps}
        self.iam = LocalIam(self.apps)
        self._create_resources()
        self._serve_functions(started, gateway, environment)
        phone.serve(phone_app(self._phone_config()))

    def _serve_functions(self, started: ExitStack, gateway: LoopbackServer, environment: ProcessEnvironment) -> None:
        self.runner = self._make_runner(environment)
        started.callback(self.runner.close)
        gateway.serve(gateway_app(self.template, self.runner, gateway.port, self.iam, like_aws=self._like_aws))
        functions = self._take_port(started, PORT_OFFSET)
        functions.serve(functions_app(self.runner, functions.port))
        self.functions = functions.url
        time_to_live = TimeToLive(self._aws, self.table, self.runner, self.template.stream_trigger())
        time_to_live.start()
        started.callback(time_to_live.stop)

    def _make_runner(self, environment: ProcessEnvironment) -> Runner:
        return InProcessRunner(self.template, environment, self.log)

    def _port_at(self, offset: int) -> int:
        return self._port + offset if self._port else 0

    def _take_port(self, started: ExitStack, offset: int) -> LoopbackServer:
        server = LoopbackServer(self._port_at(offset))
        started.callback(server.close)
        return server

    def _start_aries(self, started: ExitStack) -> AriesSimulator:
        simulator = AriesSimulator(
            AriesCore(
                ARIES_CLIENT_ID,
                ARIES_CLIENT_SECRET,
                [f"{self.issuer}/oauth2/callback"],
                scopes=sorted({*SCOPES, *(scope for app in self._apps.values() for scope in app["scopes"])}),
                **self._aries_options,
            )
        )
        with port_taken(self._port_at(1)):
            simulator.start(HOST, self._port_at(1))
        started.callback(simulator.stop)
        return simulator

    def _create_resources(self) -> None:
        """Create the resources of a deployment, and read the template with them."""
        secret = self._aws.create_secret("aries-client", ARIES_CLIENT_SECRET) if self._with_secret else ""
        self.parameters = {
            "Issuer": self.issuer,
            "AriesClientSecretArn": secret,
            "AriesAuthorizeUrl": self.aries + AUTHORIZE_PATH,
            "AriesTokenUrl": self.aries_simulator.token_url,
            "AriesUserUrl": self.aries_simulator.profile_url,
            "Apps": json.dumps(self.apps),
            "AwsEndpointUrl": self.aws,
            **self._parameters,
        }
        if self._events:
            self.received = ReceivedEvents(self._aws)
            self.parameters["EventBus"] = BUS
        self.key = self._aws.create_key()
        # If a table or a queue has no name, SAM CLI makes its logical id the value of `!Ref`. moto accepts the name of
        # a queue in place of its URL.
        self.table, self.dead_letter_queue = "SignInsTable", "CleanupDeadLetterQueue"
        self.subject_key = self._aws.create_secret("SubjectKey", secrets.token_urlsafe(48))
        queue = self._aws.create_queue(self.dead_letter_queue)
        self.template = Template(
            self.parameters,
            created={
                "Key": {"Arn": self.key},
                "SubjectKey": {"Id": self.subject_key},
                self.dead_letter_queue: {"Arn": queue},
            },
        )
        self._aws.create_table(self.table, self.template.properties("SignInsTable"))

    def _phone_config(self) -> dict[str, str | int]:
        return {
            "issuer": self.issuer,
            "client_id": PHONE,
            "redirect_uri": f"{self.phone}/",
            "scope": self.scope,
            "api": self.aries,
            "refresh_grace": self.refresh_grace,
        }
