"""The pages for a person: their HTML and CSS, and the failures of the browser legs in plain words."""

from __future__ import annotations

import base64
from hashlib import sha256
from html import escape
from http import HTTPStatus

from oauth_broker.errors import PageError
from oauth_broker.web.http import SECURITY_HEADERS, HttpResponse

_STYLE = """
:root{color-scheme:light dark;--ink:#1b2733;--soft:#5a6875;--paper:#f5f7f9;--card:#fff;--line:#dde3e8;--accent:#0b6bcb}
@media(prefers-color-scheme:dark){
:root{--ink:#e8edf2;--soft:#9aa8b5;--paper:#12181e;--card:#1b232b;--line:#2c3843;--accent:#6cb2ff}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100svh;display:grid;place-items:center;padding:min(1.25rem,4vw);
background:var(--paper);color:var(--ink);
font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:30rem;width:100%;padding:min(2rem,6vw);background:var(--card);border:1px solid var(--line);
border-radius:1rem;overflow-wrap:break-word}
h1{margin:0 0 .75rem;font-size:1.4rem;line-height:1.3;text-wrap:balance}
p{margin:0 0 1rem}
a{display:block;margin:1.5rem 0;padding:.8rem 1rem;border-radius:.6rem;background:var(--accent);color:var(--card);
font-weight:600;text-align:center;text-decoration:none}
a:focus-visible{outline:3px solid var(--accent);outline-offset:3px}
small{color:var(--soft);overflow-wrap:anywhere}
""".strip()
# The policy allows the style by its hash, and so needs no 'unsafe-inline'.
_STYLE_HASH = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()


def page(
    title: str, text: str, request_id: str, status: HTTPStatus, link: tuple[str, str] | None = None
) -> HttpResponse:
    """Return a page for a person: a title, a reason in plain words, the request id for support, no script.

    ``link`` is the page's only link, if any: its URL and its text.
    """
    button = f'<a href="{escape(link[0])}">{escape(link[1])}</a>' if link else ""
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p>{button}"
        f"<small>Request id for support: {escape(request_id)}</small></main></body></html>"
    )
    policy = SECURITY_HEADERS["content-security-policy"] + f"; style-src 'sha256-{_STYLE_HASH}'"
    return HttpResponse(status, body, {"content-type": "text/html; charset=utf-8", "content-security-policy": policy})


def bad_link(reason: str) -> PageError:
    """The app's own request is wrong, and the broker cannot trust any redirect URI."""
    return PageError(
        reason,
        "This sign-in link does not work",
        "The app asked for a sign-in in a way that is not registered here. No sign-in was started. "
        "Go back to the app and update it. If you see this page again, ask the makers of the app for help.",
    )


def unknown_sign_in(reason: str) -> PageError:
    """The sign-in is unknown, used elsewhere, expired, or another browser's. The page does not reveal the case."""
    return PageError(
        reason,
        "This sign-in has ended",
        "The sign-in took too long, was already used, or was started in another browser. "
        "Go back to the app and sign in again.",
    )


def finished(reason: str) -> PageError:
    """The sign-in is over. The app itself tells the person whether it redeemed its code in time."""
    return PageError(
        reason,
        "Return to the app",
        "This sign-in is over. You can close this page and go back to the app. "
        "If the app still asks you to sign in, start again in the app.",
        HTTPStatus.OK,
    )


def try_again(reason: str) -> PageError:
    """A passing failure before anything was used up. If the person loads the page again, the sign-in continues."""
    return PageError(
        reason,
        "One moment, please",
        "The sign-in could not continue just now. Nothing is lost. Load this page again in a few seconds.",
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
