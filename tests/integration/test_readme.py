"""README.md and docs/connect-an-app.md agree with the local apps, the cost and each other's snippet."""

from __future__ import annotations

import re

from oauth_broker.config.clients import Registry
from tests.local.apps import local_apps
from tests.support.functions import ROOT
from tests.support.guide import section, snippet
from tests.support.transformed import source

README = (ROOT / "README.md").read_text()
DEPLOY = (ROOT / "docs" / "deploy.md").read_text()


def readmes(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_local_apps_are_told_with_their_redirect_uris() -> None:
    told = section("Your own app against the local stack")
    for client_id, app in local_apps("http://127.0.0.1:8083").items():
        (row,) = re.findall(rf"^\| `{client_id}` \|.*$", told, flags=re.MULTILINE)
        assert [uri for uri in app["redirect_uris"] if f"`{uri}`" not in row] == []
    assert "deploy.md#the-apps-a-parameter-or-a-file" in told
    example = told.split("```json\n")[1].split("```")[0]
    assert Registry.parse(example).find("my-app")


def test_the_readmes_snippet_is_a_part_of_the_guides() -> None:
    code = readmes("Connect an app").split("```ts\n")[1].split("```")[0]
    assert code.count("\n") <= 12
    assert code in snippet("Single-page app: oidc-client-ts (TypeScript)")


def test_the_readmes_picture_names_both_addresses_of_aries() -> None:
    for name in ("AriesAuthorizeUrl", "AriesTokenUrl"):
        url = source()["Parameters"][name]["Default"]
        assert url.removeprefix("https://") in readmes("How it works")


def test_the_react_native_snippet_says_why_it_leaves_the_librarys_revoke_alone() -> None:
    code = snippet("React Native: react-native-app-auth (TypeScript)")
    assert "Do not use the library's own `revoke`" in code
    (imported,) = re.findall(r"import \{(.*)\} from 'react-native-app-auth'", code)
    assert "revoke" not in imported


def test_the_readmes_costs_are_those_of_the_page_for_deployers() -> None:
    costs = re.findall(r"\b\d+(?:\.\d+)?\b", readmes("Cost").split("`make cost")[0])
    assert len(costs) == 6
    assert [cost for cost in costs if not re.search(rf"(?<![\d.]){re.escape(cost)}(?!\.?\d)", DEPLOY)] == []


def test_the_readme_deploys_in_five_steps() -> None:
    assert re.findall(r"^(\d)\. ", readmes("Deploy in five steps"), flags=re.MULTILINE) == list("12345")
