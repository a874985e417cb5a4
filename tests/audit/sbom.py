"""``make sbom``: the bill of materials of the deployed packages, in CycloneDX 1.6. Its bytes are always the same.

cyclonedx-py reads the licences and the dependencies from the packages in .venv, in the versions of the layer. It reads
the hashes from the layer's lock file. Put together, this describes the deployed packages, and nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from tests.audit.locks import ROOT, SHIPPED, read
from tests.audit.python_locks import python
from tests.audit.services import Broken

SPECIFICATION = "1.6"
_SECONDS = 120

Json = dict[str, Any]


def bill() -> str:
    """Return the document; raises Broken if .venv does not have the layer's versions."""
    installed = _made(
        "environment", "--pyproject", str(ROOT / "pyproject.toml"), str(ROOT / ".venv" / "bin" / "python")
    )
    locked = _made("requirements", str(SHIPPED))
    versions = {pin.name: pin.version for pin in read(SHIPPED)}
    here: dict[str, Json] = {canonicalize_name(it["name"]): it for it in installed["components"]}
    wrong = [name for name, version in versions.items() if here.get(name, {}).get("version") != version]
    if wrong:
        raise Broken(f".venv has not what the layer has of {', '.join(wrong)}: run `make lock`")

    files: dict[str, list[Json]] = {
        canonicalize_name(it["name"]): it["externalReferences"] for it in locked["components"]
    }
    components = [_component(here[name], files[name]) for name in sorted(versions)]
    root = installed["metadata"]["component"]
    refs = {it["bom-ref"] for it in components}
    dependencies = [
        {**it, "dependsOn": [ref for ref in it.get("dependsOn", []) if ref in refs]}
        for it in installed["dependencies"]
        if it["ref"] in refs
    ]
    dependencies.append({"ref": root["bom-ref"], "dependsOn": _direct(components)})
    document = {
        **installed,
        "components": components,
        "dependencies": sorted(dependencies, key=lambda it: str(it["ref"])),
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _made(kind: str, *arguments: str) -> Json:
    # This is not the final document yet. The tests check the final one against the schema.
    options = ["--spec-version", SPECIFICATION, "--output-reproducible", "--output-format", "JSON", "--no-validate"]
    done = subprocess.run(
        [python(), "-m", "cyclonedx_py", kind, *options, *arguments],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        # If SOURCE_DATE_EPOCH were set, the document would contain a time.
        env={"PYTHONWARNINGS": "ignore"},
    )
    if done.returncode != 0:
        raise Broken(f"cyclonedx-py failed: {done.stderr[-2000:]}")
    made: Json = json.loads(done.stdout)
    return made


def _component(installed: Json, files: list[Json]) -> Json:
    references = installed.get("externalReferences", []) + files
    return {**installed, "externalReferences": sorted(references, key=lambda it: (it["type"], it["url"]))}


def _direct(components: list[Json]) -> list[str]:
    asked = SHIPPED.with_suffix(".in").read_text()
    names = {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", asked, re.MULTILINE)}
    return [it["bom-ref"] for it in components if canonicalize_name(it["name"]) in names]


def main(path: Path) -> None:
    """Write the document."""
    path.write_text(bill())
    print(f"{path}: {len(read(SHIPPED))} packages, CycloneDX {SPECIFICATION}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
