"""Start the whole product on this machine, show one complete sign-in, and serve until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NoReturn

from oauth_broker.config.clients import ORIGIN
from oauth_broker.errors import ConfigurationError
from tests.local.apps import read_apps
from tests.local.environment import ProcessEnvironment, apart_from_the_callers_aws
from tests.local.serving import HOST, PortTaken

if TYPE_CHECKING:
    from tests.local.stack import LocalStack

# Four more follow.
_HIGHEST_BASE_PORT = 65531
_BASE_PORT = 8080
_SIGNALS_SECONDS = 1


def main() -> int:
    """Return the exit status: 1 if a step of the sign-in fails, 2 if a port is taken or an app is refused, else 0."""
    options = _options()
    # A process in a script's background ignores SIGINT by default.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(options)
    except (PortTaken, ConfigurationError) as refusal:
        print(refusal, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


class _Parser(argparse.ArgumentParser):
    """Refuses an option in one line. A caller of `make` never sees the options in the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}\n")


def _options() -> argparse.Namespace:
    parser = _Parser(prog="python -m tests.local", description=__doc__)
    parser.add_argument(
        "--port",
        type=_port,
        default=str(_BASE_PORT),
        help="the issuer's port (8080); Aries, AWS, the phone page and Lambda take the next four; 0 takes any free",
    )
    parser.add_argument("--apps", type=Path, help="a JSON file of more apps, in the form of the parameter Apps")
    parser.add_argument("--issuer", type=_origin, help="the issuer's origin, if a tunnel leads to it")
    parser.add_argument("--aries", type=_origin, help="the origin of Aries, if a tunnel leads to it")
    parser.add_argument(
        "--token-store", type=_token_store, default="secrets", help="where sign-ins keep their tokens: secrets or row"
    )
    parser.add_argument("--events", action="store_true", help="show the events of sessions that the event bus got")
    parser.add_argument("--containers", action="store_true", help="run the functions in Lambda's containers")
    parser.add_argument("--once", action="store_true", help="stop after the sign-in")
    options = parser.parse_args()
    if options.containers and (options.issuer or options.aries):
        # The relays lead from the containers to ports of this machine alone.
        parser.error("--containers allows neither --issuer nor --aries: leave both out")
    return options


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > _HIGHEST_BASE_PORT:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {_HIGHEST_BASE_PORT}")
    return int(text)


def _origin(text: str) -> str:
    if not re.fullmatch(ORIGIN, text):
        raise argparse.ArgumentTypeError(
            "must be https://HOST, or http on loopback, without a default port and without a slash at the end"
        )
    return text


def _token_store(text: str) -> str:
    if text not in ("secrets", "row"):
        raise argparse.ArgumentTypeError("must be secrets or row")
    return text


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def _run(options: argparse.Namespace) -> int:
    # If the port is any free one, no file of apps can name it.
    issuer = options.issuer or f"http://{HOST}:{options.port}"
    apps = read_apps(options.apps, issuer) if options.apps else {}
    print("Starting the broker, Aries, AWS and a phone on this machine ...", flush=True)
    # SAM CLI and moto read variables as soon as they are imported.
    ProcessEnvironment().set(apart_from_the_callers_aws(os.environ, "us-east-1"))
    # Importing them takes most of the start, so the line above comes first.
    from tests.local.containers import CONFIG, ContainersFailed, ContainerStack
    from tests.local.stack import LocalStack
    from tests.local.template import ROOT
    from tests.local.transcript import Transcript

    with ExitStack() as resources:
        log = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="oauth-broker-"))) / "functions.log"
        sink = sys.stderr if _is_set("VERBOSE") else resources.enter_context(log.open("w", buffering=1))
        stack: LocalStack
        if options.containers:
            stack = ContainerStack(
                port=options.port, log=sink, apps=apps, token_store=options.token_store, events=options.events
            )
        else:
            stack = LocalStack(
                port=options.port,
                issuer=options.issuer,
                aries=options.aries,
                log=sink,
                apps=apps,
                token_store=options.token_store,
                events=options.events,
            )
        try:
            resources.enter_context(stack)
        except ContainersFailed as failure:
            return _failed(str(failure), log)
        print(f"broker {stack.issuer}   Aries {stack.aries}   AWS {stack.aws}", flush=True)
        if not Transcript(stack, sys.stdout).play():
            return _failed("A step of the sign-in failed.", log)
        if stack.received is not None:
            print("\nThe event bus got these events of the session:", flush=True)
            _show_events(stack)
        if options.once:
            return 0
        if options.containers:
            print(
                "\nTo call one function with one event, run in another shell:\n"
                "  .venv/bin/python -m samcli local invoke"
                f" TokenFunction --event events/token_refresh.json --config-file {CONFIG.relative_to(ROOT)}"
            )
        elif options.port:
            port = f" PORT={options.port}" if options.port != _BASE_PORT else ""
            print(f"\nTo act as the operator, run in another shell:\n  make operate{port} ACTION=check")
        print(_registered(stack))
        print(f"\nOpen {stack.phone}/ and sign in. Ctrl-C stops.")
        if log.exists():
            print(f"The functions log to {log}. To see their log here, start with VERBOSE=1.", flush=True)
        # Short waits, because Python handles a signal at the end of a wait.
        while not Event().wait(_SIGNALS_SECONDS):
            _show_events(stack)
    return 0


def _show_events(stack: LocalStack) -> None:
    for line in stack.received.lines() if stack.received is not None else ():
        print(line, flush=True)


def _registered(stack: LocalStack) -> str:
    """Return the facts of this stack for a client of one's own."""
    lines = [f"\nRegistered apps (issuer {stack.issuer}, Aries' API {stack.aries}):"]
    for client_id, app in stack.apps.items():
        first, *others = app["redirect_uris"]
        lines += [f"  {client_id:<16} {first}", *(f"  {'':<16} {uri}" for uri in others)]
    return "\n".join(lines)


def _failed(why: str, log: Path) -> int:
    logged = f"\nThe functions' log:\n{log.read_text()}" if log.exists() else ""
    print(f"{why}{logged}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
