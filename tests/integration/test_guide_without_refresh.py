"""The sign-in by hand of docs/connect-an-app.md, at a broker that lacks Aries' client secret and so refresh tokens."""

from __future__ import annotations

from pathlib import Path

from tests.integration.test_guide import run, script_for, stored_tokens
from tests.local.stack import LocalStack


def test_the_sign_in_by_hand_says_that_there_is_no_refresh_token(tmp_path: Path) -> None:
    with LocalStack(client_secret=False) as stack:
        script = script_for(stack, tmp_path)
        done = run(script)
    # The access token works all the same.
    assert '"id"' in done.told
    assert (done.status, stored_tokens(script)) == (1, None)
    assert done.complaint.startswith("There is no refresh token, since the broker has no client secret of Aries'.")
