"""The failures of the browser legs as pages, in plain words for a person."""

from __future__ import annotations

from http import HTTPStatus

from oauth_broker.errors import PageError


def bad_link(reason: str) -> PageError:
    """The app's own request is wrong, and the broker cannot trust any redirect URI."""
    return PageError(
        reason,
        "This sign-in link does not work",
        "The app asked for a sign-in in a way that is not registered here. No sign-in was started. "
        "Go back to the app and update it. If this page comes again, tell the makers of the app.",
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
