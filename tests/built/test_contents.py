"""Every function and layer contains exactly its own files, and they are not too large."""

from __future__ import annotations

import ast
import base64
import hashlib
import re
from collections.abc import Callable
from importlib.metadata import Distribution, PackagePath, distribution
from importlib.util import source_from_cache
from pathlib import Path, PurePosixPath

import pytest

from tests.built.artifacts import (
    BROKER_LAYER,
    BUILT,
    DEPENDENCIES_LAYER,
    LAYERS,
    files_in,
    folder_of,
    functions,
    layers_of,
    size_of,
)
from tests.local.template import ROOT

pytestmark = pytest.mark.built

# The limit for a function's own files and its layers together, unzipped. Lambda allows 250 MB. This is a third more
# than the size today, so the test notices if a new release brings more along.
MOST_BYTES = 15 * 1024 * 1024
# The layer takes only these subfolders of a folder.
ALLOWED = {
    "botocore/data": {
        "dynamodb",
        "dynamodbstreams",
        "events",
        "kms",
        "lambda",
        "secretsmanager",
        "service-quotas",
        "sqs",
    },
    "aws_lambda_powertools/utilities": {"jmespath_utils", "typing"},
}
LEFT_OUT = (
    "aws_lambda_powertools/event_handler",
    "boto3/data",
    "boto3/dynamodb",
    "boto3/ec2",
    "boto3/examples",
    "boto3/s3",
    "charset_normalizer/cli",
    "urllib3/contrib/emscripten",
)
REQUIREMENTS = ROOT / "layers" / "dependencies" / "requirements.txt"
PIN = re.compile(r"([a-z0-9-]+)==(\S+) \\")
# Files of machine code begin so on Linux, on Windows, and on macOS (for one processor, and for several).
MACHINE_CODE = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


def pinned() -> dict[str, str]:
    """Return the versions in the lock file, by name; they do not depend on the machine."""
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and line[0] not in "# "]
    assert all(PIN.fullmatch(line) for line in lines), lines
    return {match[1]: match[2] for line in lines if (match := PIN.fullmatch(line))}


def without_bytecode(files: set[str]) -> set[str]:
    return {name for name in files if not name.endswith(".pyc")}


def belongs_in_a_layer(path: PackagePath) -> bool:
    """Leave out commands, tests, the compiled parts of this machine's own wheel, and files for an installer only."""
    if ".dist-info" in path.parts[0]:
        return path.name == "METADATA"
    if path.parts[0] == ".." or "tests" in path.parts or path.suffix in (".so", ".pyd", ".pyc"):
        return False
    return is_used(path)


def is_used(path: PurePosixPath) -> bool:
    """Leave out the unused parts of packages: services of AWS, utilities, resources, examples."""
    if any(path.is_relative_to(folder) for folder in LEFT_OUT) or path.match("botocore/data/*/*/examples-*.json"):
        return False
    for folder, allowed in ALLOWED.items():
        # A file directly in the folder serves all its subfolders.
        if path.is_relative_to(folder) and path.parent != PurePosixPath(folder):
            return path.relative_to(folder).parts[0] in allowed
    return True


def belongings(package: Distribution) -> dict[str, PackagePath]:
    return {f"python/{path}": path for path in package.files or () if belongs_in_a_layer(path)}


def test_there_is_a_folder_for_every_function_and_layer_and_nothing_else() -> None:
    assert {path.name for path in BUILT.iterdir()} == {*functions(), *(layer.name for layer in LAYERS), "template.yaml"}
    for function in functions().values():
        assert layers_of(function) == list(LAYERS)


def test_a_function_is_its_handler_alone() -> None:
    for name, source in functions(ROOT / "template.yaml").items():
        built = folder_of(functions()[name])
        assert files_in(built) == {"app.py"}
        assert (built / "app.py").read_bytes() == (folder_of(source) / "app.py").read_bytes()


def test_the_shared_layer_is_the_package_as_it_stands() -> None:
    sources = ROOT / "layers" / "oauth_broker" / "oauth_broker"
    paths = {path.relative_to(sources): path for path in sources.rglob("*.py")}
    expected = {f"python/oauth_broker/{name}": path.read_bytes() for name, path in paths.items()}
    assert without_bytecode(files_in(BROKER_LAYER)) == expected.keys()
    assert {name: (BROKER_LAYER / name).read_bytes() for name in expected} == expected


def test_the_bytecode_of_the_package_has_no_docstrings() -> None:
    compiled = sorted(BROKER_LAYER.rglob("*.pyc"))
    assert all(name.endswith(".cpython-313.pyc") for name in map(str, compiled))
    for path in compiled:
        docstring = ast.get_docstring(ast.parse(Path(source_from_cache(path)).read_text()))
        assert docstring is None or docstring.splitlines()[0].encode() not in path.read_bytes()


def test_the_other_layer_has_the_pinned_packages_and_no_others() -> None:
    infos = (DEPENDENCIES_LAYER / "python").glob("*.dist-info")
    packages = [Distribution.at(info) for info in infos]
    assert {package.name.lower().replace("_", "-"): package.version for package in packages} == pinned()


def test_each_file_in_that_layer_is_a_published_file_of_its_package() -> None:
    # The tests run on the same packages, installed with lists of their files and hashes.
    packages = [distribution(name) for name in pinned()]
    expected = {name: path for package in packages for name, path in belongings(package).items()}
    assert without_bytecode(files_in(DEPENDENCIES_LAYER)) == expected.keys()
    for name, path in expected.items():
        assert path.hash is not None, name
        found = hashlib.new(path.hash.mode, (DEPENDENCIES_LAYER / name).read_bytes()).digest()
        assert base64.urlsafe_b64encode(found).rstrip(b"=").decode() == path.hash.value, name


def test_every_account_can_read_the_whole_build() -> None:
    for path in BUILT.rglob("*"):
        assert not path.is_symlink(), path
        needed = 0o555 if path.is_dir() else 0o444
        assert path.stat().st_mode & needed == needed, path


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_layer_serves_both_architectures(layer: Path) -> None:
    for name in files_in(layer):
        with (layer / name).open("rb") as file:
            assert not file.read(4).startswith(MACHINE_CODE), name


def test_the_layers_do_not_overlay_each_other() -> None:
    # Lambda unpacks all of a function's layers into one folder.
    assert files_in(BROKER_LAYER).isdisjoint(files_in(DEPENDENCIES_LAYER))


def test_no_function_is_too_large_with_its_layers(numbers: Callable[[str], None]) -> None:
    layers = {layer: size_of(layer) for layer in LAYERS}
    own = {name: size_of(folder_of(function)) for name, function in functions().items()}
    for name, size in [*((layer.name, size) for layer, size in layers.items()), *own.items()]:
        numbers(f"{name}: {size}")
    together = sum(size.unzipped for size in layers.values())
    assert max(size.unzipped for size in own.values()) + together < MOST_BYTES
