"""Every installed package is in a lock file, at one version, with the hashes of its files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.audit.locks import NPM, ROOT, SHIPPED, TESTING, UnreadableLock, read
from tests.support.transformed import source

MAKEFILES = ("Makefile", "layers/dependencies/Makefile", "layers/oauth_broker/Makefile", "layers/bytecode.mk")
SCRIPTS = (".ci/run", ".ci/browser", ".ci/containers")
INSTALLER = "layers/install.py"
STAND_IN = '"$python" -I layers/install.py "$runtime_packages" --quiet --only-binary=:all: --target "$root/var/runtime"'
MADE_UP = "0" * 64


def commands(path: Path, *words: str) -> list[str]:
    """Return the commands of a file with these words, each on one line."""
    lines = re.sub(r"\\\n\s*", "", path.read_text()).splitlines()
    return [line for line in lines if not line.strip().startswith("#") and all(word in line.split() for word in words)]


@pytest.mark.parametrize("lock", [SHIPPED, *TESTING], ids=str)
def test_a_lock_file_pins_every_package_to_one_version_with_its_hashes(lock: Path) -> None:
    pins = read(lock)
    assert pins
    assert all(pin.hashes for pin in pins)
    here = [pin.name for pin in pins if pin.is_installed_here]
    assert sorted(here) == sorted(set(here))


def test_the_lock_files_of_layer_and_tests_agree_on_every_shipped_package() -> None:
    shipped = {pin.name: pin for pin in read(SHIPPED)}
    assert {pin.marker for pin in shipped.values()} == {""}
    tested = {pin.name: pin for pin in read(TESTING[0])}
    assert {name: tested[name].version for name in shipped} == {name: pin.version for name, pin in shipped.items()}
    assert all(tested[name].hashes == pin.hashes for name, pin in shipped.items())


def test_every_lock_file_of_the_project_is_audited() -> None:
    # Lock files of installed packages are not the project's own.
    found = {
        path
        for folder in ("layers", "tests", "functions")
        for path in (ROOT / folder).rglob("*")
        if "node_modules" not in path.parts
        if path.name in ("package-lock.json", "poetry.lock", "uv.lock", "yarn.lock")
        or (path.suffix == ".txt" and "--hash=" in path.read_text())
    }
    assert found == {SHIPPED, *TESTING, NPM}


@pytest.mark.parametrize("name", [*MAKEFILES, *SCRIPTS])
def test_only_the_installer_calls_pip(name: str) -> None:
    assert commands(ROOT / name, "pip", "install") == []
    # A command with a lock file names no further package.
    assert [line for line in commands(ROOT / name) if INSTALLER in line and "==" in line] == []


def test_the_installer_takes_a_lock_file_its_hashes_and_nothing_else() -> None:
    text = (ROOT / "layers" / "install.py").read_text()
    (command,) = re.findall(r'"pip", "install", (.*)\]\n', text)
    assert command == '"--require-hashes", "--no-deps", "--requirement", str(lock)'
    assert re.findall(r'"pip", "(\w+)"', text) == ["install", "config"]


def test_every_lock_file_is_installed_from_one_place() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"^LOCK\.venv\S* := (\S+)$", makefile, re.MULTILINE)
    (environments,) = commands(ROOT / "Makefile", INSTALLER, "--environment")
    assert f"{INSTALLER} $(LOCK$*) --environment $*" in environments
    # If there is no image of Lambda and no container engine, a stand-in is made from a lock file of its own.
    (stand_in,) = commands(ROOT / ".ci" / "containers", INSTALLER)
    assert " ".join(stand_in.split()) == STAND_IN
    assert "runtime_packages=tests/e2e/lambda_runtime.txt\n" in (ROOT / ".ci/containers").read_text()
    assert sorted(ROOT / name for name in [*named, "tests/e2e/lambda_runtime.txt"]) == sorted(TESTING)
    (layer,) = commands(ROOT / "layers" / "dependencies" / "Makefile", f"../{INSTALLER.rpartition('/')[2]}")
    assert layer.split("install.py ")[1].split()[0] == SHIPPED.name


def test_npm_installs_what_its_lock_names_with_the_hash_of_every_package() -> None:
    lock = json.loads(NPM.read_text())
    packages = {path: it for path, it in lock["packages"].items() if path}
    assert packages
    assert [
        path for path, it in packages.items() if not re.match(r"sha512-[A-Za-z0-9+/]{86}==$", it["integrity"])
    ] == []
    # If the lock file names no place, npm asks its registry. The lock file names no other place.
    named = {it["resolved"].split("/")[2] for it in packages.values() if "resolved" in it}
    assert named <= {"registry.npmjs.org"}
    wanted = json.loads(NPM.with_name("package.json").read_text())["dependencies"]
    assert wanted == lock["packages"][""]["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    texts = [(ROOT / name).read_text() for name in (*MAKEFILES, *SCRIPTS)]
    used = [words for text in texts for words in re.findall(r"^[^#\n]*?&& npm (\w+)", text, re.MULTILINE)]
    assert sorted(used) == ["ci", "update"]


def test_the_makefile_that_asks_for_hashes_installs_every_layer() -> None:
    layers = {
        name: resource
        for name, resource in source()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::LayerVersion"
    }
    assert layers
    assert {it["Metadata"]["BuildMethod"] for it in layers.values()} == {"makefile"}
    # A requirements file beside the code would be installed by SAM CLI itself, without hashes.
    assert list((ROOT / "functions").rglob("requirements*")) == []
    assert list((ROOT / "functions").rglob("pyproject.toml")) == []


@pytest.mark.parametrize(
    "line",
    [
        "requests\n",
        f"requests>=2 --hash=sha256:{MADE_UP}\n",
        f"requests==2.* --hash=sha256:{MADE_UP}\n",
        "requests==2.0.0\n",
        f"requests==2.0.0 --hash=md5:{MADE_UP}\n",
        f"requests==2.0.0 --hash=sha256:{MADE_UP[1:]}\n",
        f"requests @ https://example.com/requests.whl --hash=sha256:{MADE_UP}\n",
        "--index-url https://example.com/simple\n",
        "-r more.txt\n",
        f"requests==2.0.0 --hash=sha256:{MADE_UP} urllib3\n",
    ],
)
def test_a_lock_file_without_an_exact_pin_and_hashes_is_noticed(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock.txt").write_text(line)
    with pytest.raises(UnreadableLock):
        read(tmp_path / "lock.txt")
