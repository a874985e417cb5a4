"""The functions, initialised in a process of their own as Lambda does before a snapshot, and copies of the process.

``python -m tests.support.snapshot WHAT FUNCTION...`` loads the functions with its environment and prints one JSON
value: the actions during the initialisation (``init``), the results of copies of the process (``sign-in``, ``sign``),
or the random bytes from their OpenSSL (``openssl``). A fork stands for a copy. OpenSSL reseeds if its process id is
new, but a copy of a snapshot has the old id. For ``openssl``, each copy therefore has the id of the original, in a
namespace of its own.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import ssl
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import boto3
import requests

from tests.local.apps import PHONE, SCOPES
from tests.local.aries import approve
from tests.support.functions import ROOT, http_event, load_function
from tests.support.lambda_context import Context
from tests.support.pkce import CHALLENGE, VERIFIER

COPIES = 2
NOT_PERMITTED = 77
_CLONE_NEWPID, _CLONE_NEWUSER = 0x20000000, 0x10000000
_PROJECT = (str(ROOT / "functions"), str(ROOT / "layers"))


class Snapshot:
    """Loaded functions, and notes of actions from before the import on."""

    def __init__(self, names: list[str]) -> None:
        self.network: list[str] = []
        self.random: list[str] = []
        self.clock: list[str] = []
        self.hooks: list[Callable[[], None]] = []
        self.access_keys: list[str] = []
        sys.addaudithook(self._note_network)
        _watch(os, "urandom", self.random)
        _watch(ssl, "RAND_bytes", self.random)
        for name in ("time", "monotonic", "time_ns", "monotonic_ns"):
            _watch(time, name, self.clock, within=_PROJECT)
        runtime: Any = ModuleType("snapshot_restore_py")
        runtime.register_after_restore = self.hooks.append
        sys.modules["snapshot_restore_py"] = runtime
        boto3.setup_default_session()
        events: Any = boto3.DEFAULT_SESSION.events if boto3.DEFAULT_SESSION else None
        events.register("before-send", self._note_access_key)
        self.handlers = {name: load_function(name, dict(os.environ)).lambda_handler for name in names}

    def restore(self) -> None:
        """Do the runtime's work in a copy before the first request."""
        for hook in self.hooks:
            hook()

    def _note_network(self, event: str, arguments: tuple[Any, ...]) -> None:
        match event, arguments:
            case "socket.connect", (_, address):
                self.network.append(f"connect {address[0]}:{address[1]}")
            case (("socket.getaddrinfo" | "socket.gethostbyname" | "socket.bind" | "socket.sendto"), _):
                self.network.append(event)

    def _note_access_key(self, request: Any, **_: Any) -> None:
        self.access_keys.append(request.headers["Authorization"].decode().partition("Credential=")[2].partition("/")[0])


def _watch(module: Any, name: str, notes: list[str], within: tuple[str, ...] = ("",)) -> None:
    """Note the callers of a function, if their files' paths have one of these beginnings."""
    original = getattr(module, name)

    def watched(*arguments: Any) -> Any:
        caller = sys._getframe(1).f_code
        if caller.co_filename.startswith(within):
            notes.append(f"{caller.co_filename}:{caller.co_name}")
        return original(*arguments)

    setattr(module, name, watched)


def in_a_copy(do: Callable[[], Any]) -> Any:
    """Return the result of ``do`` in a copy of this process."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as result:
            json.dump(do(), result)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as result:
        text = result.read()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) or not text:
        sys.exit(os.waitstatus_to_exitcode(status) or 1)
    return json.loads(text)


def with_the_same_process_id(do: Callable[[], Any]) -> Any:
    """Return the result of ``do`` in a copy with process id 1. A copy made by this function keeps that id."""

    def elsewhere() -> Any:
        unshare = ctypes.CDLL(None).unshare
        if unshare(_CLONE_NEWPID) and unshare(_CLONE_NEWUSER | _CLONE_NEWPID):
            os._exit(NOT_PERMITTED)
        return in_a_copy(do)

    return in_a_copy(elsewhere)


def init(names: list[str]) -> dict[str, Any]:
    snapshot = Snapshot(names)
    return {
        "network": snapshot.network,
        "random": snapshot.random,
        "clock": snapshot.clock,
        "hooks": [f"{hook.__module__}.{hook.__name__}" for hook in snapshot.hooks],
    }


def sign_in(names: list[str]) -> list[dict[str, Any]]:
    """Run a sign-in and a refresh in each copy; return all values that must differ from copy to copy."""
    snapshot = Snapshot(names)
    before = list(snapshot.network)

    def copy() -> dict[str, Any]:
        snapshot.restore()
        leases = _watch_leases()
        told = _play(snapshot)
        return told | {
            "connections": snapshot.network[len(before) :],
            "leases": leases,
        }

    return [in_a_copy(copy) for _ in range(COPIES)]


def _watch_leases() -> list[str]:
    taken: list[str] = []
    leases = importlib.import_module("oauth_broker.sessions.leases").Leases
    take = leases.take

    def watched(self: Any, grant: Any, lease: Any, *rest: Any) -> Any:
        taken.append(lease.lease_id)
        return take(self, grant, lease, *rest)

    leases.take = watched
    return taken


def _play(snapshot: Snapshot) -> dict[str, Any]:
    redirect_uri = json.loads(os.environ["APPS"])[PHONE]["redirect_uris"][0]
    query = {
        "response_type": "code",
        "client_id": PHONE,
        "redirect_uri": redirect_uri,
        "scope": " ".join(SCOPES),
        "state": "s",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }

    def call(name: str, event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = snapshot.handlers[name](event, Context(now=time.time))
        assert answer["statusCode"] in (200, 302), answer
        return answer

    def grant(name: str, **form: str) -> dict[str, Any]:
        body = urlencode({"client_id": PHONE, **form})
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer: dict[str, Any] = json.loads(
            call(name, http_event("POST", f"/oauth2/{name}", headers=headers, body=body))["body"]
        )
        return answer

    started = call("authorize", http_event("GET", "/oauth2/authorize", query=urlencode(query)))
    (cookie,) = (it.partition(";")[0] for it in started["cookies"])
    sent = parse_qs(urlsplit(started["headers"]["location"]).query)
    with requests.Session() as browser:
        returned = urlsplit(approve(browser, started["headers"]["location"]))
    issued = call("callback", http_event("GET", "/oauth2/callback", query=returned.query, cookies=[cookie]))
    code = parse_qs(urlsplit(issued["headers"]["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": VERIFIER}
    tokens = grant("token", **form)
    # Stored tokens would answer a refresh within the grace.
    time.sleep(int(os.environ["REFRESH_GRACE_SECONDS"]) + 0.2)
    grant("refresh", refresh_token=tokens["refresh_token"])
    return {"state": sent["state"][0], "challenge": sent["code_challenge"][0], "cookie": cookie, "code": code}


def sign(names: list[str]) -> list[list[str]]:
    """Return the access keys in the signatures of each copy's first calls to AWS."""
    snapshot = Snapshot(names)

    def copy() -> list[str]:
        snapshot.restore()
        body = urlencode({"client_id": PHONE, "refresh_token": f"{'a' * 43}.1.{'b' * 43}"})
        headers = {"content-type": "application/x-www-form-urlencoded"}
        for name, handler in snapshot.handlers.items():
            handler(http_event("POST", f"/oauth2/{name}", headers=headers, body=body), Context(now=time.time))
        return snapshot.access_keys

    return [in_a_copy(copy) for _ in range(COPIES)]


def openssl(names: list[str]) -> dict[str, list[str]]:
    """Return the first bytes from OpenSSL in each copy, without the hooks and with them."""

    def original() -> dict[str, list[str]]:
        snapshot = Snapshot(names)

        def first_bytes() -> str:
            return ssl.RAND_bytes(16).hex()

        def first_bytes_when_restored() -> str:
            snapshot.restore()
            return first_bytes()

        return {
            "unrestored": [with_the_same_process_id(first_bytes) for _ in range(COPIES)],
            "restored": [with_the_same_process_id(first_bytes_when_restored) for _ in range(COPIES)],
        }

    result: dict[str, list[str]] = with_the_same_process_id(original)
    return result


if __name__ == "__main__":
    what = {"init": init, "sign-in": sign_in, "sign": sign, "openssl": openssl}[sys.argv[1]]
    print("\n" + json.dumps(what(sys.argv[2:])))
