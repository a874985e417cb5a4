"""The whole product on one machine, with the functions in Lambda's containers instead of this process."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TextIO
from urllib.parse import urlsplit

import docker

from tests.local.aws import REGION
from tests.local.environment import ProcessEnvironment
from tests.local.relay import Relay
from tests.local.serving import HOST, LoopbackServer
from tests.local.stack import LocalStack
from tests.local.template import ROOT

# This file stays for calls of `sam local invoke` to a running stack.
CONFIG = ROOT / ".aws-sam" / "local.yaml"
_SAM = (sys.executable, "-m", "samcli")
# The first start may have to fetch Lambda's image.
_START_SECONDS = 900
_STOP_SECONDS = 60
_INVOKE_SECONDS = 300


class ContainersFailed(Exception):
    """SAM CLI did not start to serve, or did not run a function."""


class ContainerStack(LocalStack):
    """``sam local start-api`` with the result of ``sam build``, beside the AWS and the Aries of this process.

    It needs Linux, and a Docker-compatible engine that runs as root. It leaves out DynamoDB's own work: the expiry of
    rows, and the stream of removals.

    A container's loopback address is its own. In each container, ``localhost`` therefore also means this machine, under
    its address on the containers' network. Relays wait there for connections to AWS and Aries.
    """

    def __init__(
        self,
        log: TextIO,
        *,
        port: int = 0,
        apps: Mapping[str, Mapping[str, Any]] | None = None,
        token_store: Literal["secrets", "row"] = "secrets",
        events: bool = False,
        config: Path = CONFIG,
    ) -> None:
        """Note the options.

        ``port``, ``apps``, ``token_store`` and ``events`` are LocalStack's. SAM CLI writes to ``log``, a real file.
        This class writes the configuration file ``config`` for SAM CLI: ``sam local ... --config-file`` takes all
        parameters from it.
        """
        # The engine must emulate containers of another architecture than the machine's.
        architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        super().__init__(
            port=port,
            apps=apps,
            token_store=token_store,
            events=events,
            parameters={"Architecture": architecture},
            log=log,
        )
        self._config = config

    @property
    def asks_iam(self) -> bool:
        """Whether the gateway asks IAM: that of SAM CLI never does."""
        return False

    def invoke_with(self, function: str, event: Path, variables: Path | None = None) -> Any:
        """Run ``sam local invoke``, log its output, and return the function's answer. Raises ContainersFailed.

        ``variables`` is a file for SAM CLI's ``--env-vars``, in place of this stack's.
        """
        command = ["local", "invoke", function, "--event", str(event), "--config-file", str(self._config)]
        if variables:
            command += ["--env-vars", str(variables)]
        done = subprocess.run(
            [*_SAM, *command],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_INVOKE_SECONDS,
            check=False,
        )
        # SAM CLI writes the function's output to its standard error.
        self.log.write(done.stderr)
        self.log.flush()
        if done.returncode != 0:
            raise ContainersFailed(f"sam {' '.join(command)}: {done.stderr}")
        return json.loads(done.stdout)

    def contained_functions(self) -> set[str]:
        """Return the names of the functions with a running container."""
        running = [container for container in self.containers() if container.status == "running"]
        variables = (dict(line.split("=", 1) for line in container.attrs["Config"]["Env"]) for container in running)
        return {environment["AWS_LAMBDA_FUNCTION_NAME"] for environment in variables}

    def containers(self) -> list[Any]:
        """Return the containers of this stack's functions, in any state."""
        made_by_sam_cli = {"label": "sam.cli.container.type=lambda"}
        found = self._engine.containers.list(all=True, filters=made_by_sam_cli, ignore_removed=True)
        return [container for container in found if f"ISSUER={self.issuer}" in container.attrs["Config"]["Env"]]

    def _serve_functions(self, started: ExitStack, gateway: LoopbackServer, environment: ProcessEnvironment) -> None:
        if not (ROOT / ".aws-sam" / "build" / "template.yaml").exists():
            raise ContainersFailed("The functions are not built yet. Run `make build` first")
        # SAM CLI lets a variable of its own environment win over the template's.
        variables = [
            (function.environment or {}).get("Variables", {}) for function in self.template.functions.get_all()
        ]
        environment.set({name: None for names in variables for name in names})
        # SAM CLI asks STS for the account at every start, and waits for seconds if STS does not answer.
        environment.set({"SAM_CLI_TELEMETRY": "0", "AWS_ENDPOINT_URL_STS": self.aws})
        self._environment = dict(os.environ)
        self._engine = _engine()
        started.callback(self._engine.close)
        # This machine's address on the network of the containers.
        self._machine = self._engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
        self._write_config(started)
        for url in (self.aws, self.aries):
            relay = Relay(self._machine, _port_of(url))
            started.callback(relay.close)
        # SAM CLI takes the port itself.
        gateway.close()
        server = subprocess.Popen(
            [*_SAM, "local", "start-api", "--host", HOST, "--port", str(gateway.port), "--config-file", self._config],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            # A Ctrl-C reaches this process alone. It then stops SAM CLI, and SAM CLI stops its containers.
            start_new_session=True,
        )
        started.callback(self._stop, server)
        _wait_until_served(server, gateway.port)

    def _write_config(self, started: ExitStack) -> None:
        variables = self._config.with_name(f"{self._config.stem}-variables.json")
        parameters = {
            **self.parameters,
            "AwsEndpointUrl": _seen_from_container(self.aws),
            "AriesTokenUrl": _seen_from_container(self.aries_simulator.token_url),
            "AriesUserUrl": _seen_from_container(self.aries_simulator.profile_url),
        }
        options = {
            "parameter_overrides": parameters,
            "env_vars": str(variables),
            "region": REGION,
            "add_host": [f"localhost:{self._machine}"],
            # A missing image is pulled all the same. An image on this machine is not compared with the registry's.
            "skip_pull_image": True,
        }
        settings = {
            "version": 0.1,
            "default": {
                "local_invoke": {"parameters": options},
                # SAM CLI takes its own reading of the layers for a change, and would restart containers at any time.
                "local_start_api": {"parameters": {**options, "warm_containers": "EAGER", "no_watch": True}},
            },
        }
        for path in (self._config, variables):
            started.callback(path.unlink, missing_ok=True)
        # JSON is YAML.
        self._config.write_text(json.dumps(settings, indent=2))
        # SAM CLI makes up an ARN for the key. This is the real one.
        variables.write_text(json.dumps({"Parameters": {"KEY_ID": self.key, "SUBJECT_KEY_ARN": self.subject_key}}))

    def _stop(self, server: subprocess.Popen[bytes]) -> None:
        """End SAM CLI, and then its containers, because it does not always remove all."""
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        for container in self.containers():
            container.remove(force=True)


def _engine() -> Any:
    try:
        return docker.from_env()
    except docker.errors.DockerException as error:
        raise ContainersFailed(
            f"No container engine answers: {error}. Start Docker, or run `.ci/containers make ...`"
        ) from error


def _seen_from_container(url: str) -> str:
    return url.replace(HOST, "localhost", 1)


def _port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _wait_until_served(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ContainersFailed(f"SAM CLI ended with status {server.returncode} before it served")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.2)
    raise ContainersFailed(f"SAM CLI did not serve within {_START_SECONDS} seconds")
