"""The tests install a clone once and try it again and again in a hostile environment. They need their order."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.first_contact.clone import CLOSED, NO_INDEX, PIP, PROXIES, Clone
from tests.support.ports import five_free_ports

pytestmark = pytest.mark.first_contact

SUCCEEDED = "The grant is invalid, expired or revoked."
A_FEW = "tests/unit/test_pkce.py tests/integration/test_metadata.py -q"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("first contact"))


@pytest.fixture(scope="module")
def installed(clone: Clone) -> Clone:
    """The clone, installed in a hostile environment and then moved."""
    status, output = clone.make("run", "ONCE=1", f"PORT={five_free_ports()}", environment=clone.hostile())
    assert (status, SUCCEEDED in output) == (0, True), output
    # The first installation reports its progress.
    assert re.search(r"^  \d+/\d+ (fetched|installed)", output, re.MULTILINE), output
    assert output.isascii()
    # This environment is moved too.
    status, output = clone.make(".venv-checkov/.ready", environment=clone.hostile())
    assert status == 0, output
    clone.move("moved, and it's elsewhere")
    return clone


@pytest.fixture
def path_without(tmp_path: Path, clone: Clone) -> dict[str, str]:
    """An environment with a PATH to every program except npm and uv."""
    environment = clone.hostile()
    for folder in reversed(environment["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*"):
            if program.name not in ("npm", "uv"):
                link = tmp_path / program.name
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    return environment | {"PATH": str(tmp_path)}


def test_the_targets_are_listed(clone: Clone) -> None:
    status, output = clone.make(environment=clone.hostile(home=""))
    assert status == 0
    assert "make run " in output


@pytest.mark.parametrize("target", ["run", "check"])
def test_if_no_index_can_be_reached_a_target_says_so_and_does_not_count_as_made(clone: Clone, target: str) -> None:
    status, output = clone.make(target, environment=clone.hostile() | NO_INDEX)
    assert status != 0
    assert re.search(rf"The package index \({CLOSED}/simple\) cannot be reached: .*refused", output), output
    assert "HTTPS_PROXY" in output
    assert "Traceback" not in output
    assert not (clone.folder / ".venv" / ".ready").exists()


def test_without_any_network_the_first_target_says_so(clone: Clone) -> None:
    index = {"PIP_INDEX_URL": "https://index.example/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    environment = clone.hostile() | NO_INDEX | index
    status, output = clone.make("run", environment=environment, network=False)
    assert status != 0
    assert "The package index (https://index.example/simple) cannot be reached: " in output, output
    assert "Traceback" not in output


def test_the_newest_usable_python_makes_the_environment(clone: Clone, tmp_path: Path) -> None:
    # The programs: pyenv's shim for an inactive version, two usable versions, and a too new version of a later year.
    does = {"3.14": "exit 127", "3.13": "exit 0", "3.12": "exit 0", "": "echo 'this is Python 3.15.0.'; exit 1"}
    for version, answer in does.items():
        python = tmp_path / f"python{version or 3}"
        python.write_text(f'#!/bin/sh\ncase $1 in -I) echo "made by {version}"; exit 9;; esac\n{answer}\n')
        python.chmod(0o755)
    environment = clone.hostile()
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    status, output = clone.make("run", environment=environment)
    assert (status != 0, "made by 3.13" in output) == (True, True), output


def test_without_a_usable_python_the_bounds_are_named(clone: Clone, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '/usr/bin/python3 is Python 3.15.0.'; exit 1\n")
    python.chmod(0o755)
    for name, why in ((str(python), "is Python 3.15.0."), ("/nonexistent", "None was found as /nonexistent.")):
        status, output = clone.make("run", f"PYTHON={name}", environment=clone.hostile())
        assert status != 0
        assert "This needs Python 3.11, 3.12, 3.13 or 3.14" in output
        assert why in output


def test_the_first_run_shows_a_sign_in_in_a_hostile_environment(installed: Clone) -> None:
    assert (installed.folder / ".venv" / ".ready").exists()


@pytest.mark.parametrize("home", ["", "/proc", "malformed"])
def test_a_moved_clone_runs_without_a_network_and_with_any_home(installed: Clone, home: str) -> None:
    environment = installed.hostile(home=installed.malformed_home if home == "malformed" else home) | PROXIES
    status, output = installed.make("run", "ONCE=1", "PORT=20080", environment=environment, network=False)
    assert (status, SUCCEEDED in output) == (0, True), output


def test_without_make_the_callers_aws_configuration_is_not_read_and_an_ascii_terminal_will_do(installed: Clone) -> None:
    environment = {name: value for name, value in installed.hostile().items() if name != "PYTHONHOME"}
    # If a caller starts the interpreter without make, the caller must clear these variables of the interpreter.
    for name in ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONSAFEPATH", "PYTHONPLATLIBDIR"):
        environment.pop(name)
    command = [installed.python, "-m", "tests.local", "--once", "--port", "0"]
    status, output = installed.run(*command, environment=environment)
    assert (status, SUCCEEDED in output) == (0, True), output


def test_ones_own_app_is_checked_and_served_and_an_operator_acts_on_it(installed: Clone) -> None:
    app = {"my-app": {"redirect_uris": ["com.example.mine:/callback"], "scopes": ["account:information"]}}
    (installed.folder / "my apps.json").write_text(json.dumps(app))
    environment = installed.hostile()
    status, output = installed.make("check-config", "APPS=my apps.json", environment=environment)
    assert (status, output) == (0, "my apps.json can be used: my-app\n")
    words = ["APPS=my apps.json", f"PORT={five_free_ports()}"]
    with installed.making("run", *words, environment=environment) as lines:
        told = ""
        while not told.endswith("Ctrl-C stops.\n"):
            told += next(lines)
        assert "my-app           com.example.mine:/callback" in told
        status, output = installed.make("operate", words[1], "ACTION=check", environment=environment)
    # The browser's half of Aries may fail its check here: see tests/integration/test_local_operator.py.
    assert '"checks": [' in output, output
    assert status in (0, 2), output


def bytecode(installed: Clone) -> set[str]:
    """Return the kinds of compiled modules in the build."""
    return {path.name.split(".", 1)[1] for path in (installed.folder / ".aws-sam").rglob("*.pyc")}


def test_a_moved_clone_builds(installed: Clone) -> None:
    status, output = installed.make("build", environment=installed.hostile())
    assert status == 0, output
    assert (installed.folder / ".aws-sam/build/DependenciesLayer/python/boto3/__init__.py").exists()
    assert bytecode(installed) == ({"cpython-313.pyc"} if os.environ.get("PYTHON3_13") else set())


def test_without_a_network_the_build_says_what_it_needs(installed: Clone) -> None:
    status, output = installed.make("build", environment=installed.hostile() | NO_INDEX, network=False)
    assert status != 0
    assert f"The package index ({CLOSED}/simple) cannot be reached" in output
    assert "Installing requirements.txt needs it." in output


def test_a_moved_clone_runs_its_tests(installed: Clone) -> None:
    status, output = installed.make("test", f"ARGS={A_FEW}", environment=installed.hostile())
    assert status == 0, output
    assert re.search(r"\d+ passed", output)


def test_a_moved_clone_runs_its_checks(installed: Clone) -> None:
    status, output = installed.make("check", environment=installed.hostile())
    assert status == 0, output
    assert "Passed checks: " in output


def test_sam_build_alone_does_not_depend_on_the_configuration_of_pip(installed: Clone) -> None:
    shutil.rmtree(installed.folder / ".aws-sam", ignore_errors=True)
    configuration = {name: value for name, value in installed.hostile().items() if name == "PIP_CONFIG_FILE"}
    environment = installed.friendly() | PIP | configuration | {"PYTHONOPTIMIZE": "2", "PYTHONSAFEPATH": "1"}
    status, output = installed.run(installed.python, "-m", "samcli", "build", environment=environment)
    assert status == 0, output
    layer = installed.folder / ".aws-sam" / "build" / "DependenciesLayer" / "python"
    assert (layer / "boto3").is_dir()
    assert bytecode(installed) == ({"cpython-313.pyc"} if os.environ.get("PYTHON3_13") else set())


def test_a_sam_cli_that_is_too_old_to_deploy_is_named(installed: Clone, tmp_path: Path) -> None:
    sam = tmp_path / "sam"
    sam.write_text("#!/bin/sh\necho 'SAM CLI, version 1.100.0'\n")
    sam.chmod(0o755)
    environment = installed.hostile()
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    told = "is version 1.100.0; building and deploying this takes 1.158.0 or newer"
    # The build uses the project's own SAM CLI, and warns a person with an old one.
    status, output = installed.make("build", environment=environment)
    assert (status, told in output) == (0, True), output
    environment = installed.friendly() | {"PATH": environment["PATH"]}
    status, output = installed.run(installed.python, "-m", "samcli", "build", environment=environment)
    assert (status != 0, told in output) == (True, True), output


@pytest.mark.parametrize(("target", "program"), [("lock", "uv"), ("test-clients", "npm"), ("test-audit", "npm")])
def test_a_program_that_is_not_installed_is_named(
    installed: Clone, path_without: dict[str, str], target: str, program: str
) -> None:
    status, output = installed.make(target, environment=path_without)
    assert status != 0
    assert f"{program} is not installed, and this needs it." in output


def test_an_environment_whose_python_is_gone_is_made_anew(installed: Clone) -> None:
    python = installed.folder / ".venv" / "bin" / "python"
    assert "install.py" not in installed.make("-n", ".venv/.ready", environment=installed.hostile())[1]
    was = python.readlink()
    python.unlink()
    python.symlink_to("/nonexistent/python3")
    try:
        assert "install.py" in installed.make("-n", ".venv/.ready", environment=installed.hostile())[1]
    finally:
        python.unlink()
        python.symlink_to(was)


def test_npm_installs_its_clients_however_it_is_configured(installed: Clone) -> None:
    status, output = installed.make("tests/e2e/clients/node_modules/.ready", environment=installed.hostile())
    assert status == 0, output
    assert (installed.folder / "tests/e2e/clients/node_modules/oidc-client-ts").is_dir()


def test_without_npms_registry_its_name_is_told(installed: Clone, tmp_path: Path) -> None:
    (installed.folder / "tests/e2e/clients/node_modules/.ready").unlink()
    environment = installed.hostile() | {
        "npm_config_registry": CLOSED,
        "npm_config_cache": str(tmp_path),
        "npm_config_fetch_retries": "0",
    }
    status, output = installed.make("tests/e2e/clients/node_modules/.ready", environment=environment)
    assert status != 0
    assert "Can the npm registry be reached?" in output
