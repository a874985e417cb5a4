"""The TypeScript of docs/connect-an-app.md compiles unchanged and runs, the single-page app's in a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page

from tests.e2e.browser.journey import WEB, WebBroker, press
from tests.e2e.browser.site import Site, bundle
from tests.e2e.stock_clients import GRACE_SECONDS
from tests.local.aries import Fault
from tests.support.guide import filled, snippet

pytestmark = pytest.mark.clients

CLIENTS = Path(__file__).parent / "clients"
NATIVE, WEB_PAGE = "React Native: react-native-app-auth (TypeScript)", "Single-page app: oidc-client-ts (TypeScript)"
# Declarations for the snippet's calls of react-native-keychain. The package itself wants all of React Native.
KEYCHAIN = """
declare module 'react-native-keychain' {
  export enum ACCESSIBLE { AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY = 'AccessibleAfterFirstUnlockThisDeviceOnly' }
  interface Options { service?: string; accessible?: ACCESSIBLE }
  export function setGenericPassword(username: string, password: string, options?: Options): Promise<false | object>;
  export function getGenericPassword(options?: Options): Promise<false | { username: string; password: string }>;
  export function resetGenericPassword(options?: Options): Promise<boolean>;
}
"""
TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        # The libraries' own declarations are not under test.
        "skipLibCheck": True,
        "target": "es2022",
        "lib": ["es2022", "dom"],
        "module": "esnext",
        "moduleResolution": "bundler",
        "types": [],
        "paths": {"*": [f"{CLIENTS}/node_modules/*"]},
    }
}


@pytest.mark.parametrize("title", [NATIVE, WEB_PAGE])
def test_a_snippet_compiles_as_it_stands(title: str, tmp_path: Path) -> None:
    (tmp_path / "snippet.ts").write_text(snippet(title))
    (tmp_path / "keychain.d.ts").write_text(KEYCHAIN)
    (tmp_path / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    done = subprocess.run(
        [CLIENTS / "node_modules/.bin/tsc", "--project", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


# A keychain that holds one session with an expired access token.
KEPT = """
const session = { accessToken: 'first', refreshToken: 'token', expiresAt: '2020-01-01T00:00:00Z' };
let kept = { password: JSON.stringify(session) };
export const ACCESSIBLE = {};
export const getGenericPassword = async () => kept;
export const setGenericPassword = async (_, password) => { kept = { password }; };
export const resetGenericPassword = async () => { kept = false; };
"""
# The broker is busy: does a failed sign-out keep the session?
BUSY = """
import * as Keychain from 'react-native-keychain';
import { signOut } from './snippet';
Object.assign(globalThis, { fetch: async (url) => url.includes('.well-known')
  ? { status: 200, json: async () => ({ revocation_endpoint: 'https://ISSUER/oauth2/revoke' }) } : { status: 503 } });
const told = await signOut().then(() => 'signed out', () => 'failed');
console.log(JSON.stringify([told, (await Keychain.getGenericPassword()) !== false]));
"""
# ANSWERS decides the refreshes of the library's native half. Two callers at once ask for an access token, then another.
REFRESHING = """
import * as Keychain from 'react-native-keychain';
import { NativeModules } from 'react-native';
import { accessToken, SignInAgain } from './snippet';
const answers = ANSWERS, sent = [];
NativeModules.RNAppAuth.refresh = (...given) => new Promise((resolve, reject) => {
  const { code, ...tokens } = answers[sent.push(given[4]) - 1];
  setImmediate(() => code ? reject(Object.assign(new Error(), { code })) : resolve(tokens));
});
const ask = () => accessToken().catch((error) => error instanceof SignInAgain ? 'sign in again' : error.code);
const told = [...await Promise.all([ask(), ask()]), await ask()];
const kept = await Keychain.getGenericPassword();
console.log(JSON.stringify([told, sent, kept && JSON.parse(kept.password).refreshToken]));
"""
RENEWED = {"accessToken": "second", "refreshToken": "next", "accessTokenExpirationDate": "2999-01-01T00:00:00Z"}


def told_by_react_native(entry: str, folder: Path) -> Any:
    """Return the output of a script with the snippet and the library, and a stub for everything native."""
    (folder / "snippet.ts").write_text(snippet(NATIVE))
    (folder / "entry.mjs").write_text(entry)
    (folder / "keychain.mjs").write_text(KEPT)
    (folder / "native.mjs").write_text("export const NativeModules = { RNAppAuth: {} }, Platform = { OS: 'ios' };")
    aliases = [f"--alias:react-native-keychain={folder}/keychain.mjs", f"--alias:react-native={folder}/native.mjs"]
    out = folder / "out.mjs"
    bundling = [f"{CLIENTS}/node_modules/.bin/esbuild", f"{folder}/entry.mjs", "--bundle", "--format=esm", *aliases]
    environment = os.environ | {"NODE_PATH": f"{CLIENTS}/node_modules"}
    subprocess.run([*bundling, f"--outfile={out}", "--log-level=error"], check=True, env=environment)
    node = shutil.which("node")
    assert node is not None
    return json.loads(subprocess.run([node, out], capture_output=True, text=True, check=True).stdout)


def test_the_react_native_snippet_keeps_its_session_where_the_sign_out_failed(tmp_path: Path) -> None:
    assert told_by_react_native(BUSY, tmp_path) == ["failed", True]


@pytest.mark.parametrize(
    ("answers", "told", "sent", "kept"),
    [
        pytest.param([RENEWED], ["second"] * 3, ["token"], "next", id="once for all callers, and not again"),
        pytest.param([{"code": "invalid_grant"}], ["sign in again"] * 3, ["token"], False, id="never what is refused"),
        pytest.param(
            [{"code": "token_refresh_failed"}, RENEWED],
            ["token_refresh_failed", "token_refresh_failed", "second"],
            ["token", "token"],
            "next",
            id="again with the same token where it failed for a time",
        ),
    ],
)
def test_the_react_native_snippet_refreshes(
    answers: list[dict[str, str]], told: list[str], sent: list[str], kept: str | bool, tmp_path: Path
) -> None:
    entry = REFRESHING.replace("ANSWERS", json.dumps(answers))
    assert told_by_react_native(entry, tmp_path) == [told, sent, kept]


# AppAuth-iOS refuses. GIVEN is the part of its error that React Native hands over.
REFUSED = """
import { NativeModules } from 'react-native';
import { accessToken } from './snippet';
const userInfo = { OIDOAuthErrorResponseErrorKey: { error: 'invalid_grant', request_id: 'the-id' } };
NativeModules.RNAppAuth.refresh = async () => { throw Object.assign(new Error(), { code: 'invalid_grant', GIVEN }); };
const logged = [];
console.warn = (...words) => logged.push(words.join(' '));
await accessToken().catch(() => undefined);
console.log(JSON.stringify(logged));
"""


@pytest.mark.parametrize(("given", "id_logged"), [("userInfo", "the-id"), ("userInfo: null", "")])
def test_the_react_native_snippet_logs_the_id_of_the_answer_that_ended_its_session(
    given: str, id_logged: str, tmp_path: Path
) -> None:
    told = told_by_react_native(REFUSED.replace("GIVEN", given), tmp_path)
    assert told == [f"The session was refused, request_id {id_logged}"]


@pytest.fixture
def page(page: Page, broker: WebBroker, app: Site, tmp_path: Path) -> Page:
    values = {
        "https://ISSUER": broker.issuer,
        "CLIENT_ID": WEB,
        "REDIRECT_URI": f"{app.origin}/callback",
        "https://api.aries.com": broker.aries,
    }
    (tmp_path / "snippet.ts").write_text(filled(snippet(WEB_PAGE), values))
    (tmp_path / "entry.ts").write_text("import * as app from './snippet';\nObject.assign(window, { app });\n")
    (tmp_path / "index.html").write_text('<!doctype html><title>App</title><script src="/app.js"></script>')
    bundle(tmp_path / "entry.ts", tmp_path / "app.js")
    app.serve(tmp_path)
    return page


def does(page: Page, call: str) -> Any:
    return page.evaluate(f"app.{call}()")


def test_the_single_page_apps_snippet_signs_in_refreshes_and_signs_out(
    page: Page, broker: WebBroker, app: Site
) -> None:
    page.goto(app.origin)
    assert does(page, "accessToken") is None
    with pytest.raises(Error, match="Sign in again"):
        does(page, "whoAmI")
    page.evaluate("void app.signIn()")
    press(page, "Approve")
    page.wait_for_url(f"{app.origin}/callback?**")
    does(page, "finishSignIn")
    assert page.url == f"{app.origin}/callback"
    first = does(page, "accessToken")
    assert does(page, "whoAmI")["id"]
    # In the browser's time the access token is about to expire. In the broker's time the grace is over.
    broker.wait(GRACE_SECONDS + 1)
    in_an_hour = "Object.assign(Date, { now: ((now) => () => now() + 3_590_000)(Date.now) })"
    page.evaluate(in_an_hour)
    with broker.refreshes_at_aries(1):
        several = page.evaluate("Promise.all([app.accessToken(), app.accessToken(), app.accessToken()])")
    assert len(set(several)) == 1
    assert several[0] != first
    does(page, "signOut")
    assert does(page, "accessToken") is None
    statuses = {row["status"]["S"] for row in broker.client("dynamodb").scan(TableName=broker.table)["Items"]}
    assert statuses == {"revoked"}


def test_the_single_page_apps_snippet_logs_the_id_of_the_answer_that_ended_its_session(
    page: Page, broker: WebBroker, app: Site
) -> None:
    page.goto(app.origin)
    page.evaluate("void app.signIn()")
    press(page, "Approve")
    page.wait_for_url(f"{app.origin}/callback?**")
    does(page, "finishSignIn")
    broker.wait(GRACE_SECONDS + 1)
    page.evaluate("Object.assign(Date, { now: ((now) => () => now() + 3_590_000)(Date.now) })")
    broker.aries_simulator.faults.append(Fault("invalid_grant", grant_type="refresh_token"))
    logged: list[str] = []
    page.on("console", lambda message: logged.append(message.text))
    with page.expect_response(lambda answer: answer.status == 400) as answer:
        assert does(page, "accessToken") is None
    request_id = answer.value.json()["request_id"]
    assert any(request_id in line for line in logged)
