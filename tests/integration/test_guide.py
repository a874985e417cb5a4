"""docs/connect-an-app.md explains every error to app developers, and its sign-in by hand works."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qsl

import pytest
import requests

from oauth_broker.errors import OAuthError
from tests.local.apps import PHONE
from tests.local.aries import approve
from tests.local.stack import LocalStack
from tests.support.guide import GUIDE, filled, snippet

SNIPPETS = (
    "iOS: AppAuth (Swift)",
    "Android: AppAuth (Kotlin)",
    "React Native: react-native-app-auth (TypeScript)",
    "Flutter: flutter_appauth (Dart)",
    "Single-page app: oidc-client-ts (TypeScript)",
    "By hand: curl",
)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(refresh_grace=1) as stack:
        yield stack


@pytest.fixture
def script(stack: LocalStack, tmp_path: Path) -> Path:
    return script_for(stack, tmp_path)


def script_for(stack: LocalStack, folder: Path, **changes: str) -> Path:
    values = {
        "https://ISSUER": stack.issuer,
        "CLIENT_ID": PHONE,
        "REDIRECT_URI": f"{stack.phone}/",
        "https://api.aries.com": stack.aries,
        # The broker asks for a pause between two tries, too long for a test.
        "retries=5": "retries=0",
        **changes,
    }
    script = folder / "sign-in.sh"
    script.write_text(filled(snippet("By hand: curl"), values))
    return script


def came_back_to(url: str, decision: Literal["approve", "deny"] = "approve") -> str:
    with requests.Session() as browser:
        browser.trust_env = False
        at_aries = browser.get(url, allow_redirects=False, timeout=30).headers["Location"]
        back = approve(browser, at_aries, decision)
        return browser.get(back, allow_redirects=False, timeout=30).headers["Location"]


@dataclass(frozen=True)
class Run:
    """One run of the script: its status, its output and its complaints."""

    status: int
    told: str
    complaint: str


def run(script: Path, browse: Callable[[str], str] = came_back_to) -> Run:
    """Run the script. A person opens the printed URL, and copies the final URL back."""
    bash = shutil.which("bash")
    assert bash is not None
    assert all(shutil.which(name) for name in ("curl", "openssl")), "curl and openssl are needed"
    with subprocess.Popen(
        [bash, script],
        cwd=script.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = process.stdout.readline()
        asks = asked.startswith("Open ")
        answer = browse(asked.removeprefix("Open ").strip()) if asks else ""
        told, complaint = process.communicate(f"{answer}\n" if answer else "", timeout=60)
    return Run(process.returncode, told if asks else asked + told, complaint)


def stored_tokens(script: Path) -> dict[str, str] | None:
    """Return the script's stored tokens. No other user may read the file."""
    path = script.parent / "aries-session.json"
    if not path.exists():
        return None
    assert path.stat().st_mode & 0o077 == 0
    return cast(dict[str, str], json.loads(path.read_text()))


Answer = Callable[[dict[str, str], Callable[[], str]], str]


@pytest.fixture
def answering(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Answer], None]:
    """Replace the answers of a function. The replacement gets the request's form and a way to ask the real function."""
    run = stack.runner.run

    def answer(function: str, make: Answer) -> None:
        def instead(name: str, event: str) -> str:
            if name != function:
                return run(name, event)
            form = dict(parse_qsl(base64.b64decode(json.loads(event)["body"]).decode()))
            return make(form, lambda: run(name, event))

        monkeypatch.setattr(stack.runner, "run", instead)

    return answer


def unavailable(form: dict[str, str], ask: Callable[[], str]) -> str:
    body = "Temporarily unavailable (request_id the-id)."
    return json.dumps({"statusCode": 503, "headers": {"retry-after": "1", "content-type": "text/plain"}, "body": body})


def unknown(form: dict[str, str], ask: Callable[[], str]) -> str:
    body = json.dumps({"error": "invalid_client", "error_description": "Unknown.", "request_id": "the-id"})
    return json.dumps({"statusCode": 401, "headers": {}, "body": body})


def of_refreshes(make: Answer) -> Answer:
    return lambda form, ask: make(form, ask) if form["grant_type"] == "refresh_token" else ask()


def test_the_sign_in_by_hand_signs_in_refreshes_and_signs_out(stack: LocalStack, script: Path) -> None:
    calls = stack.aries_simulator.code_calls
    done = run(script)
    assert (done.status, stack.aries_simulator.code_calls) == (0, calls + 1), done
    # The answer of Aries' API, and the answer to the sign-out.
    assert '"id"' in done.told
    assert done.told.rstrip().endswith("{}")
    sessions = stack.client("dynamodb").scan(TableName=stack.table)["Items"]
    assert [row["status"]["S"] for row in sessions] == ["revoked"]
    assert stored_tokens(script) is None


def test_the_sign_in_by_hand_says_that_it_was_denied(script: Path) -> None:
    done = run(script, lambda url: came_back_to(url, "deny"))
    assert (done.status, done.told, stored_tokens(script)) == (1, "", None)
    assert done.complaint == "The sign-in failed: access_denied. The sign-in was declined.\n"


@pytest.mark.parametrize(
    ("pattern", "instead", "complaint"),
    [
        ("state=[^&]*", "state=another", "Not an answer to this: the state is another."),
        ("[&?]state=[^&]*", "", "Not an answer to this: the state is another."),
        ("iss=[^&]*", "iss=https%3A%2F%2Fevil.example", "Not an answer to this: it names another issuer."),
        (".*", "", "No URL was given."),
    ],
)
def test_the_sign_in_by_hand_takes_no_answer_to_another_request(
    script: Path, pattern: str, instead: str, complaint: str
) -> None:
    done = run(script, lambda url: re.sub(pattern, instead, came_back_to(url), count=1))
    assert (done.status, done.told, done.complaint) == (1, "", complaint + "\n")
    assert stored_tokens(script) is None


def test_the_sign_in_by_hand_shows_why_its_code_was_not_redeemed(script: Path) -> None:
    done = run(script, lambda url: re.sub("code=[^&]*", "code=another", came_back_to(url)))
    assert (done.status, done.told, stored_tokens(script)) == (1, "", None)
    told = re.search(r"HTTP 400 from \S+/token: (\{.*\})", done.complaint)
    assert told is not None
    assert json.loads(told[1]).keys() == {"error", "error_description", "request_id"}


@pytest.mark.parametrize(("make", "status"), [(unknown, 401), (unavailable, 503)])
def test_the_sign_in_by_hand_shows_any_other_refusal_of_its_code(
    script: Path, answering: Callable[[str, Answer], None], make: Answer, status: int
) -> None:
    answering("TokenFunction", make)
    done = run(script)
    assert (done.status, done.told, stored_tokens(script)) == (1, "", None)
    assert f"HTTP {status} from " in done.complaint
    assert re.search('request_id"?:? "?the-id', done.complaint)


@pytest.mark.parametrize(("make", "status"), [(unknown, 401), (unavailable, 503)])
def test_the_sign_in_by_hand_keeps_its_tokens_where_the_refresh_fails_and_goes_on_with_them(
    stack: LocalStack, script: Path, answering: Callable[[str, Answer], None], make: Answer, status: int
) -> None:
    answering("TokenFunction", of_refreshes(make))
    done = run(script)
    tokens = stored_tokens(script)
    assert (done.status, tokens is not None) == (1, True)
    assert f"HTTP {status} from " in done.complaint
    assert re.search('request_id"?:? "?the-id', done.complaint)
    assert done.complaint.endswith("its tokens are in aries-session.json: run this again.\n")
    assert run(script).status == 1
    assert stored_tokens(script) == tokens
    answering("TokenFunction", lambda form, ask: ask())
    again = run(script)
    assert (again.status, again.told.strip(), stored_tokens(script)) == (0, "{}", None), again


def test_the_sign_in_by_hand_keeps_its_tokens_where_nobody_answers(
    stack: LocalStack, script: Path, answering: Callable[[str, Answer], None], tmp_path: Path
) -> None:
    answering("TokenFunction", of_refreshes(unavailable))
    assert run(script).status == 1
    tokens = stored_tokens(script)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    done = run(script_for(stack, tmp_path, **{"https://ISSUER": closed}))
    assert (done.status, done.told, stored_tokens(script)) == (1, "", tokens)
    assert f"No answer from {closed}/oauth2/token\n" in done.complaint


def test_the_sign_in_by_hand_begins_anew_where_the_session_is_over(
    script: Path, answering: Callable[[str, Answer], None]
) -> None:
    over = json.dumps({"error": "invalid_grant", "error_description": "Over.", "request_id": "the-id"})
    answering("TokenFunction", of_refreshes(lambda *_: json.dumps({"statusCode": 400, "headers": {}, "body": over})))
    done = run(script)
    assert (done.status, stored_tokens(script)) == (1, None)
    assert done.complaint.endswith("The session is over: sign in again.\n")


def test_the_sign_in_by_hand_says_that_it_is_still_signed_in_where_the_sign_out_fails(
    script: Path, answering: Callable[[str, Answer], None]
) -> None:
    answering("RevokeFunction", unavailable)
    done = run(script)
    assert (done.status, stored_tokens(script) is not None) == (1, True)
    assert "HTTP 503 from " in done.complaint
    assert done.complaint.endswith("You are still signed in: run this again.\n")
    answering("RevokeFunction", lambda form, ask: ask())
    assert run(script).status == 0
    assert stored_tokens(script) is None


def test_the_sign_in_by_hand_shows_what_aries_says_of_its_access_token(script: Path, stack: LocalStack) -> None:
    script.write_text(script.read_text().replace("Bearer $(", "Bearer x$("))
    done = run(script)
    assert done.status == 1
    assert f"HTTP 401 from {stack.aries}/v1/users/me: " in done.complaint


@pytest.mark.long
def test_the_sign_in_by_hand_tries_again_after_a_busy_answer_and_keeps_the_last_one_alone(
    stack: LocalStack, tmp_path: Path, answering: Callable[[str, Answer], None]
) -> None:
    tries = iter((unavailable, unavailable))
    answering("TokenFunction", of_refreshes(lambda form, ask: next(tries, lambda *_: ask())(form, ask)))
    done = run(script_for(stack, tmp_path, **{"retries=5": "retries=3"}))
    assert (done.status, next(tries, None)) == (0, None), done


def test_every_error_that_an_app_may_meet_is_explained() -> None:
    codes = {error.code for error in OAuthError.__subclasses__()}
    assert {code for code in codes if f"`{code}`" not in GUIDE and f'"{code}"' not in GUIDE} == set()


@pytest.mark.parametrize("title", SNIPPETS)
def test_each_snippet_says_what_to_fill_in(title: str) -> None:
    code = snippet(title)
    for placeholder in ("https://ISSUER", "CLIENT_ID", "REDIRECT_URI", "account:information"):
        assert placeholder in code
    for pair in ("()", "[]", "{}"):
        assert title == "By hand: curl" or code.count(pair[0]) == code.count(pair[1])


def test_the_snippet_for_extensions_shares_one_item_and_holds_a_lock_around_the_refresh() -> None:
    code = snippet("An app and its extensions: one session (Swift)")
    for part in ("kSecAttrAccessGroup", "containerURL(forSecurityApplicationGroupIdentifier:", "flock(", "LOCK_EX"):
        assert part in code
    for pair in ("()", "[]", "{}"):
        assert code.count(pair[0]) == code.count(pair[1])


@pytest.mark.parametrize("title", SNIPPETS)
def test_each_snippet_logs_the_id_by_which_the_operator_finds_why_a_session_ended(title: str) -> None:
    assert re.search("request_id|requestid", snippet(title))


def test_the_script_hands_curl_no_secret_that_others_on_the_machine_could_see(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curl = shutil.which("curl")
    folder, seen, sent = tmp_path / "bin", tmp_path / "arguments", tmp_path / "input"
    folder.mkdir()
    wrapper = folder / "curl"
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{seen}\ntee -a {sent} | {curl} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    done = run(script)
    assert done.status == 0, done.complaint
    secrets = re.findall(r"(?:token=|code=|code_verifier=|Bearer )([^&\n]+)", sent.read_text())
    # The code, its verifier, the access token and the refresh token.
    assert len(set(secrets)) == 4
    arguments = seen.read_text()
    assert f"client_id={PHONE}" in arguments
    assert not [secret for secret in secrets if secret in arguments]
