"""Aries misbehaves over real HTTP (case 44): the real handlers and transport meet every fault of the simulator.

Each fault happens before or after Aries processes the request. After a fault in a refresh, the app gets a 503 with
``Retry-After`` and plain text. The broker stores nothing, follows no redirect and sends the client secret only once,
and the session goes on. After a fault in a sign-in, the browser gets a redirect with a standard error; the broker
stores nothing and sends the code once. A call to Aries ends by its total deadline, even if every second brings one
more byte of the head or of the body. The broker does not take in a body of 10 MB, or of 64 MB unpacked. Run with
``-s`` to see the numbers.

Aries does not rotate here, so the broker can ask again for a lost result. If Aries rotates, this loss is the one window
of ``test_refresh_faults``.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest
import requests

from oauth_broker.aries.client import ARIES_CALL_SECONDS
from oauth_broker.aries.transport import NoReply, Reply, RequestsTransport
from oauth_broker.oauth.tokens import secret_name
from tests.local.aries import FAULT_KINDS, Fault, FaultKind
from tests.local.aries.faults import When
from tests.local.template import ROOT
from tests.support.deployment import ARIES_CLIENT_SECRET, GRACE, PREFIX
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long_but
from tests.support.world import Answer, Phone, World, running_world

# Standard refusals and usable answers are no misbehaviour. The tests of refresh cover them.
ANSWERS: set[FaultKind] = {"invalid_grant", "invalid_client", "unknown_error", "members", "wrong_content_type"}
# Each takes the whole time allowed for a call. The values are seconds before the answer, or before the next byte.
SLOW: dict[FaultKind, float] = {"hang": 30, "late": 30, "trickle_headers": 1, "trickle_body": 1}
# Aries asks for this pause in a refusal. It is longer than a request waits, and shorter than a lease.
PAUSE_SECONDS = 20
QUICK = [kind for kind in FAULT_KINDS if kind not in ANSWERS | SLOW.keys()]
WHENS: tuple[When, ...] = ("before", "after")
# The most memory for one call: the largest allowed answer, and room for everything around it.
MOST_BYTES = 1024 * 1024


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(rotation="same") as running:
        yield running


def assert_unavailable(answer: Answer) -> None:
    assert answer.status == 503
    assert answer.sentence.startswith("Temporarily unavailable")
    assert 1 <= int(answer.headers["retry-after"]) <= LEASE_SECONDS


def stored(phone: Phone) -> list[str]:
    """Return the versions of the session's secret, and the version and the token hash in the row."""
    secrets = phone.world.secretsmanager
    versions = secrets.list_secret_version_ids(SecretId=secret_name(PREFIX, phone.session_id))["Versions"]
    row = phone.row()
    return [*sorted(version["VersionId"] for version in versions), row["secret_version"], row["handle_hash"]]


def goes_on(phone: Phone) -> None:
    """Check an intact session: once the lease may have expired, the same request gets new tokens."""
    world, before = phone.world, phone.access_token
    world.clock.time += LEASE_SECONDS
    answer = phone.refresh()
    assert answer.status == 200
    assert answer.json["access_token"] != before


@pytest.mark.parametrize("when", long_but(["after"], WHENS))
@pytest.mark.parametrize("kind", QUICK)
def test_a_refresh_that_aries_spoils_is_busy_and_leaves_the_session_as_it_was(
    world: World, kind: FaultKind, when: When
) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    world.aries.reset()
    before = stored(phone)
    world.aries.faults.append(Fault(kind, when=when, seconds=PAUSE_SECONDS))
    assert_unavailable(phone.refresh())
    assert len(world.aries.faults) == 0
    assert stored(phone) == before
    assert [request.get("client_secret") for request in world.token_requests()] == [ARIES_CLIENT_SECRET]
    # An immediate repetition of the request does not reach Aries beside the first one.
    assert_unavailable(phone.refresh())
    assert world.aries.refresh_calls == 1
    assert world.aries.trap_calls == 0
    goes_on(phone)
    assert world.aries.refresh_calls == 2
    assert world.aries.trap_calls == 0


@pytest.mark.parametrize("when", long_but(["before"], WHENS))
@pytest.mark.parametrize("kind", QUICK)
def test_a_sign_in_that_aries_spoils_ends_in_a_standard_error_and_leaves_nothing(
    world: World, kind: FaultKind, when: When
) -> None:
    phone = world.phone()
    query = phone.approve(phone.authorize())
    world.aries.reset()
    secrets = world.session_secrets()
    world.aries.faults.append(Fault(kind, when=when))
    for _ in ("first", "reloaded"):
        answer = phone.callback(query)
        assert answer.location.startswith(phone.redirect_uri)
        assert answer.query["error"] == "temporarily_unavailable"
        assert "code" not in answer.query
    assert world.aries.code_calls == 1
    assert world.aries.trap_calls == 0
    assert world.session_secrets() == secrets
    assert phone.row()["status"] == "failed"
    phone.cookies.clear()
    assert world.signed_in().refresh().status == 200


def test_an_aries_that_is_not_there_is_busy_and_nothing_is_sent(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    world.aries.reset()
    before = stored(phone)
    world.aries.stop()
    try:
        assert_unavailable(phone.refresh())
    finally:
        world.aries.start()
    assert world.token_requests() == []
    assert stored(phone) == before
    goes_on(phone)


@pytest.mark.long
def test_a_slow_aries_is_given_up_at_the_total_deadline_and_the_session_is_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each refresh meets one fault; the pairing does not matter.
    faults = [Fault(kind, when=when, seconds=seconds) for kind, seconds in SLOW.items() for when in WHENS]
    phones = [world.signed_in() for _ in faults]
    world.clock.time += GRACE + 1
    world.aries.reset()
    before = [stored(phone) for phone in phones]
    took: list[float] = []
    post = RequestsTransport.post

    def timed(*arguments: object) -> Reply:
        started = time.monotonic()
        try:
            return post(*arguments)  # type: ignore[arg-type]
        finally:
            took.append(time.monotonic() - started)

    monkeypatch.setattr(RequestsTransport, "post", timed)
    for fault in faults:
        world.aries.faults.append(fault)
    with ThreadPoolExecutor(len(phones)) as pool:
        refreshes = [pool.submit(phone.refresh) for phone in phones]
        unfinished = wait(refreshes, timeout=3 * ARIES_CALL_SECONDS).not_done
        if unfinished:
            # Otherwise the refresh would go on as long as there are bytes.
            world.aries.stop()
        assert not unfinished
    answers = [refresh.result() for refresh in refreshes]
    print(f"\n{len(faults)} slow answers: given up after {min(took):.2f} to {max(took):.2f} s of {ARIES_CALL_SECONDS}")
    assert len(took) == len(faults)
    # A call must not end sooner either, because a late answer is still of use.
    assert all(ARIES_CALL_SECONDS - 1 < seconds < ARIES_CALL_SECONDS + 1 for seconds in took)
    for answer in answers:
        assert_unavailable(answer)
    assert [stored(phone) for phone in phones] == before
    assert world.aries.refresh_calls == len(faults)
    assert world.aries.trap_calls == 0
    world.clock.time += LEASE_SECONDS
    assert [phone.refresh().status for phone in phones] == [200] * len(phones)


def test_a_large_body_and_a_gzip_bomb_are_not_taken_in() -> None:
    transport = RequestsTransport()
    with aries_of_its_own() as (url, control):

        def ask() -> Reply:
            # The request need not be valid, because the fault comes first.
            return transport.post(url, b"{}", {"content-type": "application/json"}, ARIES_CALL_SECONDS)

        assert ask().status == 400
        peaks: dict[str, int] = {}
        for kind in ("large_body", "gzip_bomb"):
            requests.post(control, json={"kind": kind}, timeout=10).raise_for_status()
            tracemalloc.start()
            try:
                with pytest.raises(NoReply):
                    ask()
                peaks[kind] = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    print(f"\nat the most {', '.join(f'{peak // 1024} KiB for {kind}' for kind, peak in peaks.items())}")
    assert all(peak < MOST_BYTES for peak in peaks.values())


@contextmanager
def aries_of_its_own() -> Iterator[tuple[str, str]]:
    """Run the simulator in another process, apart from our memory; yields its token URL and its URL for faults."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.local.aries", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        url = lines[1].split()[-1]
        yield url, url.replace("/v1/oauth2/token", "/__control/faults")
    finally:
        process.kill()
        process.communicate()
