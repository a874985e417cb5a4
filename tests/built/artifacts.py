"""What `sam build` made: the folders that are deployed, and a bare Python of the runtime's version to run them with."""

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
from tests.support.world import APPS

BUILT = ROOT / ".aws-sam" / "build"
BROKER_LAYER, DEPENDENCIES_LAYER = BUILT / "OauthBrokerLayer", BUILT / "DependenciesLayer"
LAYERS = (BROKER_LAYER, DEPENDENCIES_LAYER)
# What the stack is deployed with, as far as it has no default, and a client secret, so that all parts are put together.
PARAMETERS = {
    "AriesClientId": "aries-client",
    "AriesClientSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries/client-secret-AbCdEf",
    "Apps": json.dumps(APPS),
}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
# What Lambda itself sets, as far as anybody reads it.
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
    read = Template(PARAMETERS, created={"Key": {"Arn": KEY}}, path=template)
    return {function.name: function for function in read.functions.get_all()}


def folder_of(function: Function) -> Path:
    """Where the function's own files are."""
    return Path(str(function.codeuri))


def layers_of(function: Function) -> list[Path]:
    """Where its layers are, in its order."""
    return [Path(str(layer.codeuri)) for layer in function.layers]


def environment_of(function: Function) -> dict[str, str]:
    """Everything that is in the function's environment."""
    variables: Mapping[str, Any] = (function.environment or {})["Variables"]
    # A dict is an `AWS::NoValue` that SAM CLI left as it was.
    return LAMBDA | {name: str(value) for name, value in variables.items() if not isinstance(value, dict)}


def files_in(folder: Path) -> set[str]:
    """The paths of all files below the folder, as they are in there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@dataclass(frozen=True)
class Size:
    """Of a function or a layer, in bytes."""

    unzipped: int
    zipped: int

    def __str__(self) -> str:
        return f"{self.unzipped / 1024:,.1f} KiB, zipped {self.zipped / 1024:,.1f} KiB"


def size_of(folder: Path) -> Size:
    """What the folder's files take as they are, and packed as SAM CLI packs them."""
    packed, names = io.BytesIO(), sorted(files_in(folder))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, name)
    return Size(sum((folder / name).stat().st_size for name in names), len(packed.getvalue()))


class BarePython:
    """A Python of the runtime's version, with nothing to import but its standard library."""

    def __init__(self, path: str) -> None:
        self._path = path

    def import_from(self, folders: Iterable[Path], modules: Iterable[str], environment: Mapping[str, str]) -> Imported:
        """Import the modules, found in these folders and nowhere else; raises ImportFailed."""
        told = self._run("bare.py", json.dumps(list(modules)), *map(str, folders), environment=environment)
        return Imported(**told)

    def sources_of_bytecode(self, layer: Path) -> dict[str, str]:
        """Of every ``.pyc`` in the layer, the source that it names, or what is wrong with it."""
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
    """Something of what was built cannot be imported by itself."""


@dataclass(frozen=True)
class Imported:
    """What came of an import; all paths are below the folders that it was given.

    ``handlers`` tells of each module whether it has one; ``network`` holds what was tried there, and refused.
    """

    compiled: list[str]
    loaded: list[str]
    bytecode: list[str]
    network: list[str]
    handlers: list[bool]
