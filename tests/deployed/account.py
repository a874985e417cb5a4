"""An AWS account on this machine, played by MiniStack. IAM decides in it, and Lambda runs functions as processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

from tests.local.aws import REGION
from tests.local.serving import HOST
from tests.local.template import ROOT
from tests.support.leaks import WATCH

_MINISTACK_PYTHON = ROOT / ".venv-ministack" / "bin" / "python"
_SAM = (sys.executable, "-m", "samcli")
_SERVICES = (
    "apigateway",
    "appconfig",
    "cloudformation",
    "dynamodb",
    "dynamodbstreams",
    "iam",
    "kms",
    "lambda",
    "logs",
    "monitoring",
    "s3",
    "secretsmanager",
    "sqs",
    "sts",
)
# The account's root user, as MiniStack knows it.
_ROOT_USER = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
_START_SECONDS = 60
_SAM_SECONDS = 300


class SamFailed(Exception):
    """SAM CLI ended with an error."""


class Account:
    """A context manager. At its end, the content of the account is gone, and its log is searched for secrets.

    ``folder`` takes the log and all files.
    """

    url: str

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self._start(started)
            self._running = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()
        WATCH.wrote("log of the functions", self.log)

    @property
    def log(self) -> str:
        """The output of MiniStack and of the functions."""
        return (self._folder / "ministack.log").read_text()

    def client(self, service: str, user: Mapping[str, str] = _ROOT_USER) -> Any:
        """Make a boto3 client of the account's root user, or of another."""
        make: Any = boto3.client
        return make(service, endpoint_url=self.url, region_name=REGION, **user)

    def sam(self, *arguments: str, user: Mapping[str, str] = _ROOT_USER) -> str:
        """Run SAM CLI in the project's folder as ``user`` and return what it printed; raises SamFailed."""
        environment = self._environment | {name.upper(): value for name, value in user.items()}
        done = subprocess.run(
            [*_SAM, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SAM_SECONDS,
            check=False,
        )
        WATCH.wrote("output of SAM CLI", done.stdout + done.stderr)
        if done.returncode != 0:
            raise SamFailed(f"sam {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def deploy(self, stack: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Deploy the build with the project's samconfig.toml; return the resources by their logical ids."""
        overrides = [f"{name}={json.dumps(value)}" for name, value in parameters.items()]
        options = ["--no-confirm-changeset", "--no-progressbar"]
        self.sam("deploy", "--stack-name", stack, *options, "--parameter-overrides", *overrides)
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SAM_CLI_TELEMETRY": "0",
            "NO_PROXY": HOST,
            "no_proxy": HOST,
        }

    def _start(self, started: ExitStack) -> None:
        assert _MINISTACK_PYTHON.exists(), "MiniStack is not installed: `make .venv-ministack/.ready` does it"
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        environment = self._environment | {
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "SERVICES": ",".join(_SERVICES),
            "AUTH": "true",
            # MiniStack must not look for Docker.
            "DOCKER_HOST": f"unix://{self._folder}/none",
        }
        log = started.enter_context((self._folder / "ministack.log").open("wb"))
        process = subprocess.Popen(
            [_MINISTACK_PYTHON, Path(__file__).with_name("emulator.py")],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # The functions are child processes of MiniStack, and all of them end together.
            start_new_session=True,
        )
        started.callback(_end, process)
        self._wait_for(process, port)

    def _wait_for(self, process: subprocess.Popen[bytes], port: int) -> None:
        until = time.monotonic() + _START_SECONDS
        with socket.socket() as probe:
            while probe.connect_ex((HOST, port)) != 0:
                assert process.poll() is None, self.log
                assert time.monotonic() < until, "MiniStack did not start"
                time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
