"""The bill of materials is valid, always the same, and lists what is deployed and nothing else."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.audit import sbom
from tests.audit.locks import ROOT, SHIPPED, read
from tests.audit.python_locks import python
from tests.audit.services import Broken

pytestmark = pytest.mark.audit

VALIDATE = """
import sys
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(str(error)[:2000] if error else 0)
"""


@pytest.fixture(scope="module")
def text() -> str:
    return sbom.bill()


@pytest.fixture
def bill(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def validated(text: str) -> subprocess.CompletedProcess[str]:
    command = [python(), "-c", VALIDATE]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_it_is_cyclonedx_by_its_own_schema(text: str, bill: dict[str, Any]) -> None:
    done = validated(text)
    assert done.returncode == 0, done.stderr
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")


def test_the_schema_would_notice_a_mistake(bill: dict[str, Any]) -> None:
    bill["components"][0]["type"] = "no such type"
    assert "no such type" in validated(json.dumps(bill)).stderr


def test_it_is_about_this_application(bill: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    root = bill["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == ("application", project["name"], project["version"])


def test_its_components_are_the_packages_of_the_layer_with_the_hashes_of_the_lock(bill: dict[str, Any]) -> None:
    listed = {
        component["purl"]: {
            it["content"]
            for reference in component["externalReferences"]
            for it in reference.get("hashes", [])
            if it["alg"] == "SHA-256"
        }
        for component in bill["components"]
    }
    assert len(listed) == len(bill["components"])
    assert listed == {f"pkg:pypi/{pin.name}@{pin.version}": pin.hashes for pin in read(SHIPPED)}


def test_every_component_has_a_licence(bill: dict[str, Any]) -> None:
    assert [it["name"] for it in bill["components"] if not it.get("licenses")] == []


def test_everything_is_there_because_the_application_needs_it(bill: dict[str, Any]) -> None:
    needs = {it["ref"]: it["dependsOn"] for it in bill["dependencies"]}
    found, todo = set(), [bill["metadata"]["component"]["bom-ref"]]
    while todo:
        ref = todo.pop()
        if ref not in found:
            found.add(ref)
            todo += needs[ref]
    assert found == needs.keys()
    assert len(found) == len(bill["components"]) + 1


def test_it_is_the_same_bytes_whenever_it_is_made_and_tells_no_time_and_no_path(text: str, tmp_path: Path) -> None:
    sbom.main(tmp_path / "sbom.json")
    assert (tmp_path / "sbom.json").read_text() == text
    for word in ("timestamp", "serialNumber", str(ROOT)):
        assert word not in text


def test_another_version_in_the_layer_than_in_the_tests_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(SHIPPED.read_text().replace("jmespath==", "jmespath==0."))
    monkeypatch.setattr(sbom, "SHIPPED", lock)
    with pytest.raises(Broken, match="jmespath"):
        sbom.bill()
