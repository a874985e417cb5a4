"""The failures of the browser legs that a person reads, in plain words."""

from __future__ import annotations

from http import HTTPStatus

from oauth_broker.errors import PageError


def bad_link(reason: str) -> PageError:
    """The app's own request is wrong, and there is no trustworthy place to redirect to."""
    return PageError(
        reason,
        "This sign-in link does not work",
        "The app that opened this page asked for a sign-in in a way that is not registered. "
        "Nothing was done. Go back to the app and update it, or tell its makers.",
    )


def unknown_sign_in(reason: str) -> PageError:
    """Unknown, used elsewhere, expired, or another browser's: one page for all, so that none can be told apart."""
    return PageError(
        reason,
        "This sign-in has ended",
        "It took too long, was already used, or was started in another browser. "
        "Go back to the app and sign in again from there.",
    )


def finished(reason: str) -> PageError:
    """The sign-in is over. Whether the app redeemed its code in time is for the app to say."""
    return PageError(
        reason,
        "Return to the app",
        "This sign-in is over. You can close this page and go back to the app. "
        "Should the app still ask you to sign in, begin again from there.",
        HTTPStatus.OK,
    )


def try_again(reason: str) -> PageError:
    """A passing failure before anything was used up: loading the page again goes on where it stopped."""
    return PageError(
        reason,
        "One moment, please",
        "The sign-in could not go on just now. Nothing is lost: load this page again in a few seconds.",
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
