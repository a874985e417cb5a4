"""The files that let an app claim https redirects on iOS and Android, in the formats of Apple and Google.

Apple: "Supporting associated domains" and ``applinks.Details.Components``. Google: "Digital Asset Links", the format of
statement lists, and "Verify Android App Links".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.deployment import APPS, ISSUER
from tests.support.world import Answer, World, running_world

APPLE = "/.well-known/apple-app-site-association"
ANDROID = "/.well-known/assetlinks.json"
FINGERPRINTS = [":".join([byte] * 32) for byte in ("AB", "0F", "99")]
ANSWERED = "code=a.b&iss=https%3A%2F%2Fbroker.example.com&state=s"
ENDPOINTS = ("/oauth2/authorize", "/oauth2/callback", "/oauth2/token", "/oauth2/revoke", APPLE, "/")


def served(path: str, apps: Mapping[str, Any]) -> Any:
    with running_world(APPS=json.dumps(apps)) as world:
        return json.loads(fetched(world, path).body)


def fetched(world: World, path: str) -> Answer:
    """Fetch a file as Apple and Google do, and check for a 200 with JSON and no redirect."""
    answer = world.call("metadata", "GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert "location" not in answer.headers
    return answer


def ios_app(*redirect_uris: str, app_ids: tuple[str, ...] = ("ABCDE12345.com.example.one",)) -> dict[str, Any]:
    return {"redirect_uris": list(redirect_uris), "scopes": ["a"], "apple_app_ids": list(app_ids)}


def matches(pattern: str, text: str) -> bool:
    """Apply Apple's wildcards: ``*`` is zero or more characters, ``?`` any single one, ``$(name)`` a variable."""
    assert "$(" not in pattern, "a variable that is not defined"
    wildcards = {"*": ".*", "?": "."}
    return (
        re.fullmatch("".join(wildcards.get(character, re.escape(character)) for character in pattern), text) is not None
    )


def component_matches(component: Mapping[str, Any], path: str, items: list[tuple[str, str]]) -> bool:
    """Tell whether every named part matches.

    Each query item of a name must match, and a missing item counts as empty.
    """
    assert component.keys() <= {"/", "?"}
    for name, pattern in component.get("?", {}).items():
        values = [value for item, value in items if item == name] or [""]
        if not all(matches(pattern, value) for value in values):
            return False
    return matches(component["/"], path)


def opened_by(document: Mapping[str, Any], url: str) -> list[str]:
    """Return the apps that iOS may open for a link: the apps of the first matching component."""
    parts = urlsplit(url)
    items = parse_qsl(parts.query, keep_blank_values=True)
    for detail in document["applinks"]["details"]:
        if any(component_matches(component, parts.path or "/", items) for component in detail["components"]):
            return list(detail["appIDs"])
    return []


def test_apple_learns_which_apps_may_claim_which_paths_of_this_host(world: World) -> None:
    app_id = APPS["trader-ios"]["apple_app_ids"][0]
    assert fetched(world, APPLE).json == {
        "applinks": {"details": [{"appIDs": [app_id], "components": [{"/": "/ios/return"}]}]},
        # ASWebAuthenticationSession takes an https callback if webcredentials associates its domain with the app.
        "webcredentials": {"apps": [app_id]},
    }


def test_android_learns_which_apps_may_claim_links(world: World) -> None:
    assert json.loads(fetched(world, ANDROID).body) == [
        {
            "relation": ["delegate_permission/common.handle_all_urls"],
            "target": {
                "namespace": "android_app",
                "package_name": "com.example.trader",
                "sha256_cert_fingerprints": [FINGERPRINTS[0]],
            },
        }
    ]


def test_an_app_with_nothing_to_claim_here_gets_no_statement_for_the_whole_host() -> None:
    packages = {"com.example.one": FINGERPRINTS[:1]}
    for uri in ("com.example.one:/callback", "https://app.example.com/callback", f"{ISSUER}.evil.example/one"):
        apps = {"one": {"redirect_uris": [uri], "scopes": ["a"], "android_packages": packages}}
        assert served(ANDROID, apps) == []


def test_every_app_claims_its_own_redirect_uris_and_none_of_the_brokers_endpoints() -> None:
    one, two, both = "ABCDE12345.com.example.one", "FGHIJ67890.com.example.two", "ABCDE12345.com.example.both"
    apps = {
        "one": ios_app(
            f"{ISSUER}/one", f"{ISSUER}/shared?app=one", f"{ISSUER}/plain", f"{ISSUER}/plain?x=1", app_ids=(one,)
        ),
        "two": ios_app(f"{ISSUER}/two/", f"{ISSUER}/shared?app=two", f"{ISSUER}/plain?x=1&y=2", app_ids=(two, both)),
    }
    document = served(APPLE, apps)
    for app in apps.values():
        for uri in app["redirect_uris"]:
            assert opened_by(document, uri + ("&" if "?" in uri else "?") + ANSWERED) == app["apple_app_ids"]
    for path in (*ENDPOINTS, "/one/", "/ONE", "/onex", "/two", "/shared", "/shared?app=three"):
        assert opened_by(document, f"{ISSUER}{path}") == []
    assert document["webcredentials"]["apps"] == sorted([one, two, both])


def test_a_uri_without_a_path_is_the_path_that_browsers_make_of_it() -> None:
    assert opened_by(served(APPLE, {"one": ios_app(ISSUER)}), f"{ISSUER}/?{ANSWERED}")


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("/*", ["/ab", "/a/b"]),
        ("/a*", ["/a", "/abc", "/a/b/c"]),
        ("/*/b", ["/aa/b", "/a/a/b", "//b"]),
        ("/a/$(alpha)", ["/a/b", "/a/c"]),
        ("/a/$(digit)*", ["/a/1", "/a/12"]),
        ("/a?x=*", ["/a?x=", "/a?x=bc", "/a"]),
        ("/a?x=b*", ["/a?x=b", "/a?x=bcd"]),
    ],
)
def test_a_wildcard_in_a_redirect_uri_claims_hardly_more_than_itself(path: str, others: list[str]) -> None:
    document = served(APPLE, {"one": ios_app(ISSUER + path)})
    assert opened_by(document, ISSUER + path)
    # Apple documents no escape for its wildcards. The broker replaces each by ``?``, any single character.
    for other in (*ENDPOINTS, *others):
        assert opened_by(document, ISSUER + other) == [], other


def test_a_repeated_item_of_a_query_does_not_keep_an_app_from_its_link() -> None:
    uri = f"{ISSUER}/a?x=1&x=2&y=3&z=&z=1&flag&empty="
    document = served(APPLE, {"one": ios_app(uri)})
    assert opened_by(document, f"{uri}&{ANSWERED}")
    assert not opened_by(document, f"{ISSUER}/a?y=4")


def test_redirect_uris_elsewhere_are_not_claimed_here() -> None:
    elsewhere = (
        "https://app.example.com/callback",
        f"{ISSUER}.evil.example/callback",
        f"{ISSUER}:8443/callback",
        "https://sub.broker.example.com/callback",
        "com.example.trader:/callback",
        "http://127.0.0.1/callback",
    )
    assert served(APPLE, {"one": ios_app(*elsewhere)})["applinks"] == {"details": []}


def test_the_host_of_the_request_is_the_one_whose_paths_are_claimed() -> None:
    host = "abc.execute-api.eu-west-1.amazonaws.com"
    apps = {"one": ios_app(f"https://{host}/back", "https://another.example/back")}
    with running_world(ISSUER="", APPS=json.dumps(apps)) as world:
        document = world.call("metadata", "GET", APPLE, domain_name=host).json
    assert document["applinks"]["details"][0]["components"] == [{"/": "/back"}]


def test_without_any_app_both_files_are_valid_and_empty() -> None:
    apps = {"web": {"redirect_uris": [f"{ISSUER}/spa"], "scopes": ["a"]}}
    assert served(APPLE, apps) == {"applinks": {"details": []}, "webcredentials": {"apps": []}}
    assert served(ANDROID, apps) == []


def test_two_registrations_of_one_app_name_it_once_for_its_credentials() -> None:
    apps = {name: ios_app(f"{ISSUER}/{name}") for name in ("debug", "release")}
    document = served(APPLE, apps)
    assert document["webcredentials"] == {"apps": ["ABCDE12345.com.example.one"]}
    assert len(document["applinks"]["details"]) == 2


def test_every_statement_for_android_is_of_the_documented_form() -> None:
    apps = {
        "one": {"com.example.one": FINGERPRINTS[:2], "com.example.one.debug": FINGERPRINTS[2:]},
        "two": {"com.example.two": FINGERPRINTS[:1]},
    }
    registry = {
        name: {"redirect_uris": [f"{ISSUER}/{name}"], "scopes": ["a"], "android_packages": packages}
        for name, packages in apps.items()
    }
    statements = served(ANDROID, registry)
    found = {}
    for statement in statements:
        assert statement.keys() == {"relation", "target"}
        assert statement["relation"] == ["delegate_permission/common.handle_all_urls"]
        target = statement["target"]
        assert target.keys() == {"namespace", "package_name", "sha256_cert_fingerprints"}
        assert target["namespace"] == "android_app"
        for fingerprint in target["sha256_cert_fingerprints"]:
            assert re.fullmatch(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}", fingerprint)
        found[target["package_name"]] = target["sha256_cert_fingerprints"]
    assert found == apps["one"] | apps["two"]


def test_the_largest_registry_that_fits_a_function_makes_files_that_apple_fetches() -> None:
    # All variables of a function share 4 KB. Apple fetches up to 128 KB.
    apps = {
        f"a{n}": ios_app(*(f"{ISSUER}/{n}{m}" for m in range(25)), app_ids=("ABCDE12345.c", "B" * 10 + ".c"))
        for n in range(5)
    }
    assert len(json.dumps(apps)) > 4_096
    with running_world(APPS=json.dumps(apps)) as world:
        assert len(fetched(world, APPLE).body) < 128_000
