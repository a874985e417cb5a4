"""What the README tells app developers: every error that they may meet, and a sign-in by hand that works."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

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
    script = tmp_path / "sign-in.sh"
    values = {
        "https://ISSUER": stack.issuer,
        "CLIENT_ID": PHONE,
        "REDIRECT_URI": f"{stack.phone}/",
        "https://api.aries.com": stack.aries,
    }
    script.write_text(filled(snippet("By hand: curl"), values))
    return script


def signed_in(url: str) -> str:
    with requests.Session() as browser:
        browser.trust_env = False
        at_aries = browser.get(url, allow_redirects=False, timeout=30).headers["Location"]
        back = approve(browser, at_aries, "approve")
        return browser.get(back, allow_redirects=False, timeout=30).headers["Location"]


def run(script: Path, *, state: str | None = None) -> tuple[int, str]:
    """Run the script; a person opens the URL that it shows, and copies back where the browser came to."""
    bash = shutil.which("bash")
    assert bash is not None
    assert all(shutil.which(name) for name in ("curl", "openssl")), "curl and openssl are needed"
    with subprocess.Popen(
        [bash, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = process.stdout.readline()
        answer = signed_in(asked.removeprefix("Open ").strip())
        if state is not None:
            answer = re.sub("state=[^&]*", f"state={state}", answer)
        told, _ = process.communicate(f"{answer}\n", timeout=60)
    return process.returncode, told


def test_the_sign_in_by_hand_signs_in_refreshes_and_signs_out(stack: LocalStack, script: Path) -> None:
    calls = stack.aries_simulator.code_calls
    status, told = run(script)
    assert (status, stack.aries_simulator.code_calls) == (0, calls + 1), told
    # The answer of Aries' API, and that of the sign-out.
    assert '"id"' in told
    assert told.rstrip().endswith("{}")
    sessions = stack.client("dynamodb").scan(TableName=stack.table)["Items"]
    assert [row["status"]["S"] for row in sessions] == ["revoked"]


def test_the_sign_in_by_hand_takes_no_answer_to_another_request(stack: LocalStack, script: Path) -> None:
    status, told = run(script, state="another")
    assert status == 1
    assert "Not an answer to this." in told


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
