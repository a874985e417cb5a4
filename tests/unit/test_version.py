"""The version of the broker. It is written in three places."""

from __future__ import annotations

import re
import tomllib

from oauth_broker import VERSION
from tests.support.functions import ROOT


def test_the_version_is_that_of_the_project_and_of_the_openapi_document() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    api = (ROOT / "tests" / "openapi" / "openapi.yaml").read_text()
    assert re.findall(r"^  version: (.*)$", api, flags=re.MULTILINE) == [VERSION]
