"""The configuration: an error names a missing or malformed value before the first request."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.config.dialect import ARIES, STANDARD, STANDARD_BASIC
from oauth_broker.config.settings import Settings, refuse_two_registrations
from oauth_broker.errors import ConfigurationError
from oauth_broker.oauth.authorization import PASSED_ON
from tests.support.parameters import ISSUERS_WITH_A_PATH
from tests.unit.fakes import ENVIRONMENT, failure_of, settings_with

OPTIONAL = (
    "ISSUER",
    "DOMAIN_NAME",
    "ARIES_CLIENT_SECRET_ARN",
    "ARIES_ISSUER",
    "PASS_ON",
    "ARIES_USER_URL",
    "EVENT_BUS",
)
REQUIRED = tuple(name for name in ENVIRONMENT if name not in OPTIONAL)
URLS = ("ARIES_AUTHORIZE_URL", "ARIES_TOKEN_URL")


def refusal(**changes: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        settings_with(**changes)
    return raised.value.reason


def test_a_complete_environment_is_read() -> None:
    settings = Settings.from_environment({**ENVIRONMENT, "PATH": "/usr/bin"})
    assert settings.issuer == "https://broker.example.com"
    assert settings.domain_name == "broker.example.com"
    assert settings.aries_client_id == "aries-client"
    assert settings.aries_client_secret_arn == ENVIRONMENT["ARIES_CLIENT_SECRET_ARN"]
    assert settings.aries_authorize_url == "https://app.aries.example/oauth2/authorize"
    assert settings.aries_token_url == "https://api.aries.example/v1/oauth2/token"
    assert settings.dialect is ARIES
    assert settings.registry.find("app") is not None
    assert (settings.session_days, settings.refresh_grace_seconds) == (30, 60)
    assert settings.late_retry is True
    assert settings.table_name == "sign-ins"
    assert settings.secret_prefix == "broker/session/"
    assert settings.key_id == ENVIRONMENT["KEY_ID"]
    assert settings.can_refresh


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings_with().session_days = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_variable_that_is_missing_or_empty_is_named(name: str) -> None:
    without = {key: value for key, value in ENVIRONMENT.items() if key != name}
    for environment in (without, {**without, name: ""}):
        with pytest.raises(ConfigurationError) as raised:
            Settings.from_environment(environment)
        assert raised.value.reason.startswith(name)


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_variable_may_be_missing_or_empty(name: str) -> None:
    without = {key: value for key, value in ENVIRONMENT.items() if key != name}
    assert Settings.from_environment(without) is not None
    assert Settings.from_environment({**without, name: ""}) is not None


def test_without_a_client_secret_nothing_can_be_refreshed() -> None:
    assert not settings_with(ARIES_CLIENT_SECRET_ARN="").can_refresh


def test_a_dialect_that_sends_the_client_secret_is_refused_without_one() -> None:
    assert "ARIES_CLIENT_SECRET_ARN" in refusal(PROVIDER_DIALECT="standard", ARIES_CLIENT_SECRET_ARN="")


def test_the_dialect_and_the_late_retry_are_chosen_by_name() -> None:
    assert settings_with(PROVIDER_DIALECT="standard").dialect is STANDARD
    assert settings_with(PROVIDER_DIALECT="standard-basic").dialect is STANDARD_BASIC
    assert settings_with(LATE_RETRY="revoke").late_retry is False


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", ()),
        ("prompt", ("prompt",)),
        ("prompt,prompt", ("prompt",)),
        ("max_age,login_hint,prompt", ("max_age", "login_hint", "prompt")),
    ],
)
def test_what_is_passed_on_is_named_with_commas_between(value: str, names: tuple[str, ...]) -> None:
    assert settings_with(PASS_ON=value).pass_on == names
    assert set(names) <= set(PASSED_ON)


@pytest.mark.parametrize("value", ["nonce", "prompt, max_age", "prompt max_age", "Prompt"])
def test_nothing_else_is_passed_on(value: str) -> None:
    assert refusal(PASS_ON=value).startswith("PASS_ON must be some of prompt, login_hint, max_age")


BUS_ARN = "arn:aws:events:eu-west-1:123456789012:event-bus/sessions"


@pytest.mark.parametrize("bus", ["", "default", "team/sessions_1.x-y"])
def test_an_event_bus_is_named_by_its_name(bus: str) -> None:
    assert settings_with(EVENT_BUS=bus).event_bus == bus


@pytest.mark.parametrize("bus", ["two words", " ", "a\n", BUS_ARN, "é", "b" * 101])
def test_another_name_is_none_of_a_bus(bus: str) -> None:
    assert refusal(EVENT_BUS=bus).startswith("EVENT_BUS must be the name of an event bus")


@pytest.mark.parametrize("name", ["PROVIDER_DIALECT", "LATE_RETRY"])
@pytest.mark.parametrize("value", ["Aries", "ALLOW", "true", "1", " aries", "allow\n", "aries,standard"])
def test_any_other_choice_is_refused_by_name(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(name)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://broker.example.com",
        "https://broker.example.com:8443",
        "http://127.0.0.1:8080",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "http://localhost:8080",
    ],
)
def test_an_issuer_is_an_https_origin_or_http_on_loopback(issuer: str) -> None:
    assert settings_with(ISSUER=issuer).issuer == issuer


MALFORMED_ORIGINS = [
    "broker.example.com",
    "//broker.example.com",
    "https://",
    "https:broker.example.com",
    "http://broker.example.com",
    "http://127.0.0.1.example.com",
    "http://127.0.0.2",
    "http://10.0.0.1",
    "http://localhost.example.com",
    "http://::1",
    "HTTPS://broker.example.com",
    "https://Broker.example.com",
    "https://br\u00f6ker.example.com",
    "https://user@broker.example.com",
    "https://broker.example.com:",
    "https://broker.example.com:x",
    "https://broker.example.com:123456",
    "https://broker.example.com\\",
    "https://broker.example.com\n",
    " https://broker.example.com",
    "https://broker example.com",
    "https://*.example.com",
    "ftp://broker.example.com",
    "javascript:alert(1)",
]


@pytest.mark.parametrize(
    "issuer",
    [
        *MALFORMED_ORIGINS,
        "https://broker.example.com/",
        "https://broker.example.com/oauth2",
        "https://broker.example.com?x",
        "https://broker.example.com#x",
        "http://127.0.0.1:8080/",
    ],
)
def test_an_issuer_with_a_path_or_over_plain_http_or_malformed_is_refused_by_name(issuer: str) -> None:
    assert refusal(ISSUER=issuer).startswith("ISSUER")


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("url", ["https://a.example/", "https://a.example:444/b/c_d-e.f~g", "http://127.0.0.1:8081/x"])
def test_aries_urls_are_https_or_http_on_loopback(name: str, url: str) -> None:
    settings = settings_with(**{name: url})
    assert url in (settings.aries_authorize_url, settings.aries_token_url)


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "url",
    [
        *MALFORMED_ORIGINS,
        *(origin + "/oauth2/token" for origin in MALFORMED_ORIGINS),
        "https://a.example",
        "https://a.example/x?y=1",
        "https://a.example/x#y",
        "https://a.example/x y",
        "https://a.example/x\n",
        "https://a.example/%2e%2e",
        "https://a.example/\u00e9",
    ],
)
def test_a_malformed_aries_url_is_refused_by_name(name: str, url: str) -> None:
    assert refusal(**{name: url}).startswith(name)


@pytest.mark.parametrize("name", ["ISSUER", *URLS])
@pytest.mark.parametrize("port", [65536, 99999])
def test_a_port_that_does_not_exist_is_refused_by_name(name: str, port: int) -> None:
    for origin in ("https://a.example", "http://127.0.0.1"):
        assert refusal(**{name: f"{origin}:{port}" + "/x" * (name in URLS)}).startswith(name)


@pytest.mark.parametrize(
    "value", ["Broker.example.com", "https://a.example", "a.example/", "a.example:443", "a b", "-a", "a\n"]
)
def test_a_malformed_domain_name_is_refused_by_name(value: str) -> None:
    assert refusal(DOMAIN_NAME=value).startswith("DOMAIN_NAME")


@pytest.mark.parametrize(
    "name", ["ARIES_CLIENT_ID", "ARIES_CLIENT_SECRET_ARN", "TABLE_NAME", "SECRET_PREFIX", "KEY_ID"]
)
@pytest.mark.parametrize("value", [" ", "a b", "a\n", "\ta", "\u00e9", "a\0"])
def test_a_name_with_white_space_or_beyond_ascii_is_refused_by_name(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(name)


@pytest.mark.parametrize("value", ["a:b", "a*", "x" * 257, "a#b"])
def test_a_secret_prefix_that_secrets_manager_would_not_take_is_refused_by_name(value: str) -> None:
    assert refusal(SECRET_PREFIX=value).startswith("SECRET_PREFIX")


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("SESSION_DAYS", 1, 365),
        ("REFRESH_GRACE_SECONDS", 1, 300),
        ("SOURCE_LIMIT", 0, 6000),
        ("SIGN_IN_LIMIT", 0, 6000),
        ("SESSION_LIMIT", 1, 100),
    ],
)
def test_a_number_is_whole_and_in_its_range_or_refused_by_name(name: str, lowest: int, highest: int) -> None:
    for number in (lowest, 2, highest):
        settings = settings_with(**{name: str(number)})
        assert getattr(settings, name.lower()) == number
    for value in (
        str(lowest - 1),
        "-1",
        "+1",
        str(highest + 1),
        "1.5",
        "1e2",
        "0x1",
        " 1",
        "1\n",
        "1_0",
        "x",
        "\u0661",
        "9" * 5000,
    ):
        assert refusal(**{name: value}).startswith(name)


@pytest.mark.parametrize("apps", ["x", "{}", "[]", '{"app":{}}'])
def test_malformed_apps_are_refused_by_name(apps: str) -> None:
    assert refusal(APPS=apps).startswith("APPS")


SOME_APPS = '{"of-the-file": {"redirect_uris": ["https://app.example.com/cb"], "scopes": ["read"]}}'


def with_file(folder: Path, content: bytes, **changes: str) -> Settings:
    file = folder / "apps.json"
    file.write_bytes(content)
    return Settings.from_environment({**ENVIRONMENT, "APPS": "", **changes}, file)


def test_apps_that_do_not_fit_into_a_variable_are_read_from_the_file_of_the_layer(tmp_path: Path) -> None:
    assert with_file(tmp_path, SOME_APPS.encode()).registry.find("of-the-file") is not None


def test_the_file_has_room_for_thousands_of_apps(tmp_path: Path) -> None:
    apps = {f"app-{number}": {"redirect_uris": ["https://a.example/cb"], "scopes": ["read"]} for number in range(5000)}
    assert len(with_file(tmp_path, json.dumps(apps).encode()).registry.clients) == 5000


def test_the_variable_where_there_is_one_takes_the_place_of_the_file(tmp_path: Path) -> None:
    settings = with_file(tmp_path, SOME_APPS.encode(), APPS=ENVIRONMENT["APPS"])
    assert [client.client_id for client in settings.registry.clients] == ["app"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "apps.json is not JSON"),
        (b"{}", "apps.json: no app is registered"),
        (b'{"a": {"scope": []}}', "apps.json: app 'a': unknown member 'scope'"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_name(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        with_file(tmp_path, content)
    assert raised.value.reason.startswith(told)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"apps\.json is not UTF-8"):
        with_file(tmp_path, b"\xff")
    unusual = {
        tmp_path: "Is a directory",
        tmp_path / ("x" * 300): "too long",
        tmp_path / "apps.json" / "x": "Not a dir",
    }
    for file, why in unusual.items():
        with pytest.raises(ConfigurationError, match=f"cannot be read: .*{why}"):
            Settings.from_environment({**ENVIRONMENT, "APPS": ""}, file)


def test_a_deployment_with_apps_in_both_places_is_refused_and_with_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "apps.json"
    refuse_two_registrations(ENVIRONMENT, file)
    file.write_text(SOME_APPS)
    refuse_two_registrations({**ENVIRONMENT, "APPS": ""}, file)
    with pytest.raises(ConfigurationError, match="by the parameter and by apps"):
        refuse_two_registrations(ENVIRONMENT, file)


def test_the_brokers_own_callback_is_no_redirect_uri_of_an_app() -> None:
    """Its code would go to Aries' place. The operator has mixed up the stack's output RedirectUri."""
    apps = {"app": {"redirect_uris": ["https://broker.example.com/oauth2/callback"], "scopes": ["read"]}}
    assert "the broker's own callback" in refusal(APPS=json.dumps(apps))
    assert settings_with(APPS=json.dumps(apps), ISSUER="https://another.example.com") is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISSUER", "https://broker.example.com:443"),
        ("ISSUER", "http://localhost:80"),
        ("ARIES_AUTHORIZE_URL", "https://app.aries.example:443/oauth2/authorize"),
        ("ARIES_TOKEN_URL", "https://api.aries.example:443/token"),
    ],
)
def test_a_default_port_which_no_client_and_no_server_would_write_is_refused(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(name)
    assert settings_with(**{name: value.replace(":443", ":4430").replace(":80", ":8080")}) is not None


@given(st.sampled_from(sorted(ENVIRONMENT)), st.text(max_size=30))
def test_any_value_is_taken_or_refused_by_name(name: str, value: str) -> None:
    failure = failure_of(ConfigurationError, partial(settings_with, **{name: value}))
    assert failure is None or failure.reason.startswith(name)


def test_the_issuer_is_the_configured_one_or_follows_the_host_that_the_gateway_serves() -> None:
    assert settings_with().issuer_for("abc.execute-api.eu-west-1.amazonaws.com") == "https://broker.example.com"
    assert settings_with(ISSUER="").issuer_for("abc.example.com") == "https://abc.example.com"


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        ("https://app.aries.example/oauth2/authorize", "https://app.aries.example"),
        ("https://app.aries.example:8443/x", "https://app.aries.example:8443"),
        ("http://[::1]:9/x", "http://[::1]:9"),
    ],
)
def test_the_issuer_of_aries_is_the_origin_of_its_authorize_url_unless_it_is_named(url: str, issuer: str) -> None:
    assert settings_with(ARIES_AUTHORIZE_URL=url).aries_issuer == issuer
    without = {name: value for name, value in ENVIRONMENT.items() if name != "ARIES_ISSUER"}
    assert Settings.from_environment({**without, "ARIES_AUTHORIZE_URL": url}).aries_issuer == issuer
    assert (
        settings_with(ARIES_AUTHORIZE_URL=url, ARIES_ISSUER="https://a.example/").aries_issuer == "https://a.example/"
    )


@pytest.mark.parametrize(
    "issuer",
    [
        *ISSUERS_WITH_A_PATH,
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123",
        "https://login.example/tenant(1)/v2.0",
        "https://kc.example:8443/realms/x",
        "http://127.0.0.1:8081/realms/x",
    ],
)
def test_an_issuer_of_aries_that_is_named_is_kept_character_by_character(issuer: str) -> None:
    assert settings_with(ARIES_ISSUER=issuer).aries_issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        *MALFORMED_ORIGINS[1:],
        "https://kc.example/realms/x?y",
        "https://kc.example/realms/x#y",
        "https://kc.example?",
        "https://kc.example/realms/x y",
        "https://kc.example/realms/x\n",
        "https://kc.example/realms/\u00e9",
        "http://kc.example/realms/x",
        "https://kc.example:443/realms/x",
        "kc.example/realms/x",
    ],
)
def test_a_malformed_issuer_of_aries_is_refused_by_name(issuer: str) -> None:
    assert refusal(ARIES_ISSUER=issuer).startswith("ARIES_ISSUER")
