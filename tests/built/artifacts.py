"""The output of `sam build`: the folders to deploy, and a bare Python of the runtime's version to run them with."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from samcli.lib.providers.provider import Function

from tests.local.template import ROOT, Template
from tests.support.deployment import APPS, ARIES_CLIENT_ID, CLIENT_SECRET_ARN, KEY_ID, SUBJECT_KEY_ARN

BUILT = ROOT / ".aws-sam" / "build"
BROKER_LAYER, DEPENDENCIES_LAYER = BUILT / "OauthBrokerLayer", BUILT / "DependenciesLayer"
LAYERS = (BROKER_LAYER, DEPENDENCIES_LAYER)
# The parameters without a default, and a client secret, so that the functions build all their parts.
PARAMETERS = {
    "AriesClientId": ARIES_CLIENT_ID,
    "AriesClientSecretArn": CLIENT_SECRET_ARN,
    "Apps": json.dumps(APPS),
}
# Lambda itself sets these variables. The list leaves out variables without a reader.
LAMBDA = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_NAME": "built",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
}
_SECONDS = 120


@cache
def functions(template: Path = BUILT / "template.yaml") -> dict[str, Function]:
    """The functions of the built template, or of another, by logical id."""
    read = Template(PARAMETERS, created={"Key": {"Arn": KEY_ID}, "SubjectKey": {"Id": SUBJECT_KEY_ARN}}, path=template)
    return {function.name: function for function in read.functions.get_all()}


def folder_of(function: Function) -> Path:
    """Return the folder of the function's own files."""
    return Path(str(function.codeuri))


def layers_of(function: Function) -> list[Path]:
    """Return the folders of the function's layers, in their order."""
    return [Path(str(layer.codeuri)) for layer in function.layers]


def environment_of(function: Function) -> dict[str, str]:
    """Return the whole environment of the function."""
    variables: Mapping[str, Any] = (function.environment or {})["Variables"]
    # SAM CLI leaves an `AWS::NoValue` as a dict.
    return LAMBDA | {name: str(value) for name, value in variables.items() if not isinstance(value, dict)}


def files_in(folder: Path) -> set[str]:
    """Return the paths of all files below the folder, relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@dataclass(frozen=True)
class Size:
    """The size of a function or a layer, in bytes."""

    unzipped: int
    zipped: int

    def __str__(self) -> str:
        return f"{self.unzipped / 1024:,.1f} KiB, zipped {self.zipped / 1024:,.1f} KiB"


def size_of(folder: Path) -> Size:
    """Measure the folder's files unpacked, and packed as SAM CLI packs them."""
    packed, names = io.BytesIO(), sorted(files_in(folder))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, name)
    return Size(sum((folder / name).stat().st_size for name in names), len(packed.getvalue()))


class BarePython:
    """A Python of the runtime's version. It can import only its standard library."""

    def __init__(self, path: str) -> None:
        self._path = path

    def import_from(self, folders: Iterable[Path], modules: Iterable[str], environment: Mapping[str, str]) -> Imported:
        """Import the modules from these folders and from nowhere else; raises ImportFailed."""
        told = self._run("bare.py", json.dumps(list(modules)), *map(str, folders), environment=environment)
        return Imported(**told)

    def sources_of_bytecode(self, layer: Path) -> dict[str, str]:
        """Return for every ``.pyc`` in the layer its source, or its defect."""
        return self._run("bytecode.py", str(layer), environment={})

    def _run(self, script: str, *arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
        done = subprocess.run(
            [self._path, "-I", "-S", "-B", "-W", "error", Path(__file__).with_name(script), *arguments],
            env=dict(environment),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise ImportFailed(done.stderr)
        told: dict[str, Any] = json.loads(done.stdout)
        return told


class ImportFailed(Exception):
    """A part of the build cannot be imported by itself."""


@dataclass(frozen=True)
class Imported:
    """The result of an import. All paths are below the given folders.

    ``handlers`` tells for each module if it has a handler. ``network`` lists the attempts to use the network; all of
    them were refused.
    """

    compiled: list[str]
    loaded: list[str]
    bytecode: list[str]
    network: list[str]
    handlers: list[bool]
