"""Every rule of the Aries simulator itself, over real HTTP."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
import requests

from tests.local.aries import USERS, AriesCore, AriesSimulator, Fault, RedirectRefusal, approve
from tests.support.aries_client import (
    CLIENT_ID,
    CLIENT_SECRET,
    OTHER_REDIRECT_URI,
    REDIRECT_URI,
    SCOPES,
    STATE,
    answer_in,
    approved_code,
    assert_refused,
    authorization,
    authorize_url,
    code_grant,
    me,
    post,
    refresh,
    refresh_grant,
    sign_in,
    simulator,
)
from tests.support.clock import VirtualClock
from tests.support.pkce import CHALLENGE


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def aries(clock: VirtualClock) -> Iterator[AriesSimulator]:
    with simulator(now=clock.now) as running:
        yield running


# Authorize


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "stranger"},
        {"redirect_uri": None},
        {"redirect_uri": REDIRECT_URI + "/"},
        {"redirect_uri": REDIRECT_URI.upper()},
        {"redirect_uri": OTHER_REDIRECT_URI.partition("?")[0]},
    ],
)
def test_an_unknown_client_or_redirect_uri_gets_a_page_and_no_redirect(
    aries: AriesSimulator, changes: dict[str, str | None]
) -> None:
    answer = requests.get(authorize_url(aries, **changes), allow_redirects=False, timeout=5)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_request"),
        ({"scope": "account:information admin"}, "invalid_scope"),
        ({"scope": "account:information  order:execution"}, "invalid_scope"),
        ({"scope": "account:information account:information"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1]}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1] + "+"}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "\n"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
    ],
)
def test_any_other_fault_of_the_request_is_redirected_with_error_and_state(
    aries: AriesSimulator, changes: dict[str, str | None], error: str
) -> None:
    answer = requests.get(authorize_url(aries, **changes), allow_redirects=False, timeout=5)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{REDIRECT_URI}?")
    location = answer_in(answer.headers["Location"])
    assert (location["error"], location["state"]) == (error, STATE)


@pytest.mark.parametrize("state", [None, ""])
def test_a_missing_state_is_refused(aries: AriesSimulator, state: str | None) -> None:
    answer = requests.get(authorize_url(aries, state=state), allow_redirects=False, timeout=5)
    location = answer_in(answer.headers["Location"])
    assert location["error"] == "invalid_request"
    assert "state" not in location


@pytest.mark.parametrize("name", sorted(authorization()))
def test_a_repeated_parameter_is_refused(aries: AriesSimulator, name: str) -> None:
    again = urlencode({name: authorization()[name]})
    answer = requests.get(f"{authorize_url(aries)}&{again}", allow_redirects=False, timeout=5)
    if name in ("client_id", "redirect_uri"):
        assert answer.status_code == 400
    else:
        location = answer_in(answer.headers["Location"])
        assert location["error"] == "invalid_request"
        assert ("state" in location) == (name != "state")


def test_a_query_that_is_not_utf_8_gets_a_page(aries: AriesSimulator) -> None:
    assert requests.get(f"{authorize_url(aries)}&x=%ff", allow_redirects=False, timeout=5).status_code == 400


def test_the_page_names_the_app_and_its_scopes_and_loads_nothing(aries: AriesSimulator) -> None:
    answer = requests.get(authorize_url(aries), timeout=5)
    assert answer.status_code == 200
    for text in (CLIENT_ID, REDIRECT_URI, "account:information", "order:execution", "Approve", "Deny"):
        assert text in answer.text
    assert "user:information" not in answer.text
    assert not re.search(r"src=|url\(|<link|<script", answer.text)
    assert answer.headers["Cache-Control"] == "no-store"


def test_approval_redirects_with_a_code_and_the_exact_state(aries: AriesSimulator) -> None:
    with requests.Session() as session:
        location = approve(session, authorize_url(aries))
    assert location.startswith(f"{REDIRECT_URI}?")
    assert set(answer_in(location)) == {"code", "state"}
    assert answer_in(location)["state"] == STATE


def test_a_registered_query_is_kept_in_the_redirect(aries: AriesSimulator) -> None:
    with requests.Session() as session:
        location = approve(session, authorize_url(aries, redirect_uri=OTHER_REDIRECT_URI))
    assert location.startswith(f"{OTHER_REDIRECT_URI}&code=")


def test_denial_redirects_with_access_denied(aries: AriesSimulator) -> None:
    with requests.Session() as session:
        location = answer_in(approve(session, authorize_url(aries), "deny"))
    assert (location["error"], location["state"]) == ("access_denied", STATE)
    assert "code" not in location


def decide(aries: AriesSimulator, **fields: str) -> requests.Response:
    return requests.post(aries.authorize_url, data=fields, allow_redirects=False, timeout=5)


def form_token(aries: AriesSimulator) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', requests.get(authorize_url(aries), timeout=5).text)
    assert found
    return found[1]


def test_a_double_click_gets_the_same_redirect_and_a_change_of_mind_a_page(aries: AriesSimulator) -> None:
    token = form_token(aries)
    with ThreadPoolExecutor(4) as pool:
        clicks = list(pool.map(lambda _: decide(aries, form_token=token, decision="approve"), range(4)))
    assert len({click.headers["Location"] for click in clicks}) == 1
    assert decide(aries, form_token=token, decision="deny").status_code == 400


def test_a_form_that_is_unknown_expired_or_odd_gets_a_page(aries: AriesSimulator, clock: VirtualClock) -> None:
    token = form_token(aries)
    assert decide(aries, decision="approve").status_code == 400
    assert decide(aries, form_token="guessed", decision="approve").status_code == 400
    assert decide(aries, form_token=token, decision="perhaps").status_code == 400
    assert decide(aries, form_token=token, decision="approve", user="nobody").status_code == 400
    clock.time += 601
    assert decide(aries, form_token=token, decision="approve").status_code == 400


def test_the_approve_helper_raises_where_no_page_is_shown(aries: AriesSimulator) -> None:
    with requests.Session() as session:
        with pytest.raises(requests.HTTPError):
            approve(session, authorize_url(aries, client_id="stranger"))
        with pytest.raises(ValueError, match="no page"):
            approve(session, authorize_url(aries, scope="admin"))


# Token endpoint, the body


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b"{}"),
        ("application/x-www-form-urlencoded", urlencode(code_grant("x")).encode()),
        ("text/json", b"{}"),
        ("application/json; charset=latin-1", b"{}"),
        ("application/json", b""),
        ("application/json", b"not json"),
        ("application/json", b"\xff"),
        ("application/json", b"[]"),
        ("application/json", b'"text"'),
        ("application/json", b'{"grant_type": "code", "grant_type": "code"}'),
        ("application/json", b'{"grant_type": NaN}'),
        ("application/json", b"[" * 30_000),
        ("application/json", b'{"grant_type": ' + b"1" * 5000 + b"}"),
        ("application/json", b'{"padding": "' + b"x" * 100_000 + b'"}'),
        ("application/json", json.dumps(code_grant("x", nonce=1)).encode()),
        ("application/json", json.dumps(code_grant("x", nonce=["1"])).encode()),
    ],
)
def test_a_body_that_is_not_a_json_object_of_strings_is_refused(
    aries: AriesSimulator, content_type: str | None, body: bytes
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert_refused(requests.post(aries.token_url, data=body, headers=headers, timeout=5), "invalid_request")


def test_parameters_in_the_query_string_are_refused(aries: AriesSimulator) -> None:
    code = approved_code(aries)
    url = f"{aries.token_url}?client_id={CLIENT_ID}"
    assert_refused(requests.post(url, json=code_grant(code), timeout=5), "invalid_request")


def test_only_post_is_allowed(aries: AriesSimulator) -> None:
    assert requests.get(aries.token_url, timeout=5).status_code == 405


@pytest.mark.parametrize("grant_type", ["authorization_code", "password", "client_credentials", "Code"])
def test_other_grant_types_are_unsupported(aries: AriesSimulator, grant_type: str) -> None:
    assert_refused(post(aries, code_grant("x", grant_type=grant_type)), "unsupported_grant_type")


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", ["client_id", "grant_type", "code", "redirect_uri", "code_verifier"])
def test_the_code_grant_requires_every_documented_member(aries: AriesSimulator, name: str, value: str | None) -> None:
    code = approved_code(aries)
    assert_refused(post(aries, code_grant(code, **{name: value})), "invalid_request")
    assert post(aries, code_grant(code)).status_code == 200


@pytest.mark.parametrize("name", ["client_id", "client_secret", "grant_type", "refresh_token", "redirect_uri"])
def test_the_refresh_grant_requires_every_documented_member(aries: AriesSimulator, name: str) -> None:
    token = sign_in(aries)["refresh_token"]
    assert_refused(refresh(aries, token, **{name: None}), "invalid_request")
    assert refresh(aries, token).status_code == 200


# Token endpoint, the code grant


def test_a_code_is_exchanged_for_tokens_of_the_documented_form(aries: AriesSimulator) -> None:
    answer = post(aries, code_grant(approved_code(aries)))
    tokens = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert list(tokens) == ["access_token", "token_type", "expires_in", "refresh_token", "scope"]
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    assert tokens["scope"] == "account:information order:execution"
    assert 600 < len(tokens["access_token"]) < 800
    assert 350 < len(tokens["refresh_token"]) < 450


def test_tokens_are_never_the_same_twice(aries: AriesSimulator) -> None:
    first, second = sign_in(aries), sign_in(aries)
    assert first["access_token"] != second["access_token"]
    assert first["refresh_token"] != second["refresh_token"]


@pytest.mark.parametrize("secret", [CLIENT_SECRET, "wrong", ""])
def test_a_client_secret_on_the_code_grant_is_refused_and_the_code_lives(aries: AriesSimulator, secret: str) -> None:
    code = approved_code(aries)
    assert_refused(post(aries, code_grant(code, client_secret=secret)), "invalid_request")
    assert post(aries, code_grant(code)).status_code == 200


def test_an_unknown_client_is_refused_and_the_code_lives(aries: AriesSimulator) -> None:
    code = approved_code(aries)
    assert_refused(post(aries, code_grant(code, client_id="stranger")), "invalid_client", 401)
    assert post(aries, code_grant(code)).status_code == 200


@pytest.mark.parametrize("verifier", ["x" * 42, "x" * 129, "x" * 42 + "+", "x" * 43 + "\n"])
def test_a_malformed_verifier_is_an_invalid_request(aries: AriesSimulator, verifier: str) -> None:
    assert_refused(post(aries, code_grant(approved_code(aries), code_verifier=verifier)), "invalid_request")


@pytest.mark.parametrize("changes", [{"code_verifier": "x" * 43}, {"redirect_uri": OTHER_REDIRECT_URI}])
def test_a_wrong_verifier_or_redirect_uri_uses_the_code_up(aries: AriesSimulator, changes: dict[str, object]) -> None:
    code = approved_code(aries)
    assert_refused(post(aries, code_grant(code, **changes)), "invalid_grant")
    assert_refused(post(aries, code_grant(code)), "invalid_grant")


def test_an_unknown_code_is_refused(aries: AriesSimulator) -> None:
    assert_refused(post(aries, code_grant("guessed")), "invalid_grant")


def test_a_code_lives_just_as_long_as_it_is_set_to(aries: AriesSimulator, clock: VirtualClock) -> None:
    code, late_code = approved_code(aries), approved_code(aries)
    clock.time += 59.9
    assert post(aries, code_grant(code)).status_code == 200
    clock.time += 0.1
    assert_refused(post(aries, code_grant(late_code)), "invalid_grant")
    aries.core.behaviour.code_seconds = 5
    short_code = approved_code(aries)
    clock.time += 5
    assert_refused(post(aries, code_grant(short_code)), "invalid_grant")


def test_a_code_used_twice_kills_the_tokens_issued_from_it(aries: AriesSimulator) -> None:
    code = approved_code(aries)
    tokens = post(aries, code_grant(code)).json()
    assert me(aries, tokens["access_token"]).status_code == 200
    assert_refused(post(aries, code_grant(code)), "invalid_grant")
    assert me(aries, tokens["access_token"]).status_code == 401
    assert_refused(refresh(aries, tokens["refresh_token"]), "invalid_grant")


def test_one_of_many_parallel_exchanges_of_a_code_succeeds(aries: AriesSimulator) -> None:
    code = approved_code(aries)
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda _: post(aries, code_grant(code)).status_code, range(8)))
    assert statuses == [200] + [400] * 7


# Token endpoint, the refresh grant


@pytest.mark.parametrize(
    ("changes", "error", "status"),
    [
        ({"client_secret": "wrong"}, "invalid_client", 401),
        ({"client_secret": "\ud800"}, "invalid_client", 401),
        ({"client_id": "stranger"}, "invalid_client", 401),
        ({"refresh_token": "guessed"}, "invalid_grant", 400),
        ({"redirect_uri": OTHER_REDIRECT_URI}, "invalid_grant", 400),
    ],
)
def test_a_refused_refresh_leaves_the_token_alive(
    aries: AriesSimulator, changes: dict[str, object], error: str, status: int
) -> None:
    token = sign_in(aries)["refresh_token"]
    assert_refused(refresh(aries, token, **changes), error, status)
    assert aries.is_refresh_token_live(token)


def test_the_client_secret_can_be_rotated_with_both_accepted_for_a_while(aries: AriesSimulator) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.set_client_secrets("new", CLIENT_SECRET)
    token = refresh(aries, token, client_secret="new").json()["refresh_token"]
    token = refresh(aries, token).json()["refresh_token"]
    aries.set_client_secrets("new")
    assert_refused(refresh(aries, token), "invalid_client", 401)
    assert refresh(aries, token, client_secret="new").status_code == 200


def test_rotation_none_leaves_the_refresh_token_out_and_keeps_it() -> None:
    with simulator(rotation="none") as aries:
        token = sign_in(aries)["refresh_token"]
        for _ in range(2):
            assert list(refresh(aries, token).json()) == ["access_token", "token_type", "expires_in", "scope"]


def test_rotation_same_repeats_the_refresh_token() -> None:
    with simulator(rotation="same") as aries:
        token = sign_in(aries)["refresh_token"]
        assert [refresh(aries, token).json()["refresh_token"] for _ in range(2)] == [token, token]


def test_rotation_strict_refuses_the_old_token_at_once_and_keeps_the_new_one(aries: AriesSimulator) -> None:
    old = sign_in(aries)["refresh_token"]
    new = refresh(aries, old).json()["refresh_token"]
    assert new != old
    assert_refused(refresh(aries, old), "invalid_grant")
    assert (aries.is_refresh_token_live(old), aries.is_refresh_token_live(new)) == (False, True)
    assert refresh(aries, new).status_code == 200


def test_rotation_grace_answers_the_previous_token_with_the_current_one_for_a_while(clock: VirtualClock) -> None:
    with simulator(rotation="grace", grace_seconds=30, now=clock.now) as aries:
        oldest = sign_in(aries)["refresh_token"]
        previous = refresh(aries, oldest).json()["refresh_token"]
        current = refresh(aries, previous).json()["refresh_token"]
        clock.time += 29.9
        assert refresh(aries, previous).json()["refresh_token"] == current
        assert_refused(refresh(aries, oldest), "invalid_grant")
        clock.time += 0.1
        assert_refused(refresh(aries, previous), "invalid_grant")
        assert refresh(aries, current).status_code == 200


def test_rotation_family_ends_the_whole_family_when_an_old_token_is_used() -> None:
    with simulator(rotation="family") as aries:
        bystander = sign_in(aries)["refresh_token"]
        old = sign_in(aries)["refresh_token"]
        new = refresh(aries, old).json()
        assert_refused(refresh(aries, old), "invalid_grant")
        assert_refused(refresh(aries, new["refresh_token"]), "invalid_grant")
        assert me(aries, new["access_token"]).status_code == 401
        assert aries.is_refresh_token_live(bystander)


def test_the_state_helpers_follow_a_family(aries: AriesSimulator) -> None:
    first = sign_in(aries)
    family = aries.core.family_of(first["access_token"])
    assert family is not None
    assert aries.core.families() == [family]
    assert aries.current_refresh_token(family) == first["refresh_token"]
    second = refresh(aries, first["refresh_token"]).json()
    assert aries.current_refresh_token(family) == second["refresh_token"]
    assert aries.core.family_of(first["refresh_token"]) == family
    assert aries.core.family_of("guessed") is None
    aries.core.revoke_family(family)
    assert aries.current_refresh_token(family) is None
    assert not aries.is_refresh_token_live(second["refresh_token"])


# The standard dialect


def test_the_standard_dialect_speaks_rfc_6749() -> None:
    with simulator(dialect="standard") as aries:

        def post_form(body: dict[str, object], more: str = "") -> requests.Response:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            data = urlencode(body) + more
            return requests.post(aries.token_url, data=data, headers=headers, timeout=5)

        def exchange(**changes: object) -> requests.Response:
            return post_form(code_grant(approved_code(aries), **({"grant_type": "authorization_code"} | changes)))

        assert_refused(post(aries, code_grant("x", grant_type="authorization_code")), "invalid_request")
        assert_refused(exchange(grant_type="code"), "unsupported_grant_type")
        assert_refused(exchange(client_secret="wrong"), "invalid_client", 401)
        assert_refused(exchange(code_verifier="x" * 43), "invalid_grant")
        assert exchange().status_code == 200
        token = exchange(client_secret=CLIENT_SECRET).json()["refresh_token"]

        assert_refused(post_form(refresh_grant(token), "&client_id=broker"), "invalid_request")
        assert_refused(post_form(refresh_grant(token), "&odd=%ff"), "invalid_request")
        assert_refused(post_form(refresh_grant(token, client_secret=None)), "invalid_request")
        assert_refused(post_form(refresh_grant(token, redirect_uri=OTHER_REDIRECT_URI)), "invalid_grant")
        token = post_form(refresh_grant(token)).json()["refresh_token"]
        assert post_form(refresh_grant(token, redirect_uri=None)).status_code == 200


# The API


def test_the_profile_belongs_to_the_account_that_approved(aries: AriesSimulator) -> None:
    for user in USERS:
        tokens = post(aries, code_grant(approved_code(aries, user.id, scope="user:information"))).json()
        answer = me(aries, tokens["access_token"])
        assert answer.json() == {"id": user.id, "name": user.name, "email": user.email}
        assert answer.headers["Cache-Control"] == "no-store"


def test_an_access_token_expires_on_time(aries: AriesSimulator, clock: VirtualClock) -> None:
    access_token = sign_in(aries)["access_token"]
    clock.time += 3599.9
    assert me(aries, access_token).status_code == 200
    clock.time += 0.1
    answer = me(aries, access_token)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_the_life_of_access_tokens_can_be_set() -> None:
    with simulator(access_token_seconds=7) as aries:
        assert post(aries, code_grant(approved_code(aries))).json()["expires_in"] == 7
        aries.core.behaviour.access_token_seconds = 9
        assert post(aries, code_grant(approved_code(aries))).json()["expires_in"] == 9


def test_a_token_that_is_no_access_token_is_refused(aries: AriesSimulator) -> None:
    for token in (sign_in(aries)["refresh_token"], "guessed"):
        assert me(aries, token).headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", "Basic abc"])
def test_no_bearer_token_gets_a_challenge_without_an_error(aries: AriesSimulator, header: str | None) -> None:
    answer = requests.get(aries.profile_url, headers={"Authorization": header} if header else {}, timeout=5)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="aries"')


def test_a_token_without_the_scope_is_forbidden(aries: AriesSimulator) -> None:
    answer = me(aries, sign_in(aries, scope="order:execution")["access_token"])
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (403, 'Bearer error="insufficient_scope"')


def test_a_page_of_any_origin_may_read_the_profile(aries: AriesSimulator) -> None:
    preflight = requests.options(
        aries.profile_url,
        headers={"Origin": "https://app.example.com", "Access-Control-Request-Headers": "authorization"},
        timeout=5,
    )
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization"
    for answer in (preflight, me(aries, sign_in(aries)["access_token"]), me(aries, "guessed")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


# Recording


def test_requests_are_recorded_with_their_secrets_and_counted(aries: AriesSimulator, clock: VirtualClock) -> None:
    tokens = sign_in(aries)
    refresh(aries, tokens["refresh_token"])
    refresh(aries, "guessed")
    requests.post(aries.token_url, data=b"no json", timeout=5)
    me(aries, tokens["access_token"])
    assert [r.endpoint for r in aries.requests] == ["authorize", "decision", *["token"] * 4, "users/me"]
    assert (aries.token_calls, aries.code_calls, aries.refresh_calls, aries.trap_calls) == (4, 1, 2, 0)
    assert aries.requests[0].body == authorization()
    recorded = aries.requests[3]
    assert recorded.body == refresh_grant(tokens["refresh_token"])
    assert recorded.headers["content-type"] == "application/json"
    assert recorded.time == clock.time
    assert aries.requests[5].body is None

    over_http = requests.get(f"{aries.url}/__control/requests", timeout=5).json()
    assert over_http[3]["body"]["client_secret"] == CLIENT_SECRET
    assert len(over_http) == 7

    aries.reset()
    assert (aries.requests, aries.token_calls) == ([], 0)


def test_the_most_refreshes_in_flight_are_counted_by_family(aries: AriesSimulator) -> None:
    unavailable, calm = sign_in(aries), sign_in(aries)
    families = aries.core.families()
    aries.faults.append(Fault("late", times=3, seconds=0.2))
    with ThreadPoolExecutor(3) as pool:
        tokens = [unavailable["refresh_token"], unavailable["refresh_token"], calm["refresh_token"]]
        list(pool.map(lambda token: refresh(aries, token), tokens))
    refresh(aries, "guessed")
    assert [aries.max_in_flight(family) for family in families] == [2, 1]
    assert aries.max_in_flight() == 2
    aries.reset()
    assert aries.max_in_flight() == 0


# The core alone


def test_the_core_enforces_the_same_rules_without_http() -> None:
    core = AriesCore(CLIENT_ID, CLIENT_SECRET, [REDIRECT_URI], scopes=SCOPES)
    with pytest.raises(RedirectRefusal) as refusal:
        core.authorize(urlencode(authorization(scope="admin")))
    assert refusal.value.error == "invalid_scope"
    code = core.approve(core.authorize(urlencode(authorization())))
    assert core.token(code_grant(code, client_secret=CLIENT_SECRET))[0] == 400
    status, tokens = core.token(code_grant(code))
    assert status == 200
    status, newer = core.token(refresh_grant(str(tokens["refresh_token"])))
    assert status == 200
    assert core.user(str(newer["access_token"])) == USERS[0]
    status, refused = core.token(refresh_grant(str(tokens["refresh_token"])))
    assert (status, refused["error"]) == (400, "invalid_grant")
