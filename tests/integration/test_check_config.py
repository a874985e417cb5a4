"""The check before a deployment: samconfig.toml and a file of apps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.local import check_config
from tests.local.check_config import main
from tests.support.functions import ROOT

APPS = {"web": {"redirect_uris": ["https://web.example.com/cb"], "scopes": ["read"]}}


class Checked:
    """One samconfig.toml, one apps.json, and the check's words about them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.config = folder / "samconfig.toml"
        self.apps_file = folder / "apps.json"

    def configure(self, overrides: str, environment: str = "default") -> None:
        self.config.write_text(f"version = 0.1\n[{environment}.deploy.parameters]\nparameter_overrides = {overrides}\n")

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status and the output. A failure speaks on standard error alone."""
        status = main(["--config-file", str(self.config), *arguments])
        said = self._capsys.readouterr()
        assert bool(said.err) is bool(status)
        return status, said.err or said.out


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Checked:
    checked = Checked(tmp_path, capsys)
    monkeypatch.setattr(check_config, "APPS_FILE", checked.apps_file)
    monkeypatch.delenv("APPS_FILE", raising=False)
    return checked


def overrides(**parameters: Any) -> str:
    """Return parameter_overrides as `sam deploy --guided` writes them."""
    given = {"AriesClientId": "aries", "Apps": json.dumps(APPS)} | parameters
    return json.dumps(" ".join(f"{name}={json.dumps(value)}" for name, value in given.items()))


def test_a_configuration_that_can_be_used_is_and_its_apps_are_named(checked: Checked) -> None:
    checked.configure(overrides())
    assert checked() == (0, "samconfig.toml [default] can be used; the parameter Apps registers web\n")


@pytest.mark.parametrize(
    "form",
    ["['AriesClientId=aries', 'SessionDays=7', 'Apps=\"\"']", "{AriesClientId = 'aries', SessionDays = 7, Apps = ''}"],
)
def test_the_other_forms_that_sam_cli_takes_are_read_too(checked: Checked, form: str) -> None:
    checked.configure(form)
    checked.apps_file.write_text(json.dumps(APPS))
    assert checked() == (0, "samconfig.toml [default] can be used; apps.json registers web\n")


def test_an_issuer_of_aries_with_a_path_can_be_used_and_one_with_a_query_is_refused(checked: Checked) -> None:
    checked.configure(overrides(AriesIssuer="https://kc.example/realms/x"))
    assert checked()[0] == 0
    checked.configure(overrides(AriesIssuer="https://kc.example/realms/x?y=1"))
    status, said = checked()
    assert (status, "AriesIssuer must be empty or an https URL" in said) == (1, True)


@pytest.mark.long
def test_apps_that_were_moved_into_the_file_need_a_word_in_the_parameters(checked: Checked) -> None:
    """CloudFormation keeps the last value of an omitted parameter, hence the old apps."""
    checked.apps_file.write_text(json.dumps(APPS))
    checked.configure(overrides())
    status, said = checked()
    assert (status, "by the parameter and by apps.json" in said) == (1, True)
    checked.configure('"AriesClientId=aries"')
    status, said = checked()
    assert (status, 'write Apps="" into parameter_overrides' in said) == (1, True)
    checked.configure(json.dumps('AriesClientId=aries Apps=""'))
    assert checked()[0] == 0


def test_overrides_for_deploy_take_the_place_of_overrides_for_all(checked: Checked) -> None:
    everywhere = f"[default.global.parameters]\nparameter_overrides = {overrides()}\n"
    checked.config.write_text(everywhere)
    assert checked()[0] == 0
    checked.config.write_text(everywhere + "[default.deploy.parameters]\nparameter_overrides = []\n")
    assert checked() == (1, "samconfig.toml [default]: AriesClientId is required, and has no value\n")


def test_another_environment_is_checked_by_its_name(checked: Checked) -> None:
    checked.configure(overrides(SessionDays="0"), "staging")
    status, said = checked("--config-env", "staging")
    assert (status, said) == (1, "samconfig.toml [staging]: SessionDays must be a whole number from 1 to 365\n")


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (
            {"Apps": '{"a": {"redirect_uris": ["myapp:/cb"], "scopes": ["r"]}}'},
            "app 'a': redirect_uris has 'myapp:/cb'",
        ),
        ({"Apps": '{"a": {"redirect_uris": ["myapp:/cb"], "scopes": ["r"]}}'}, "a custom scheme needs a dot"),
        ({"Apps": '{"a": {"redirect_uris": ["https://a.example/cb"], "scope": ["r"]}}'}, "unknown member 'scope'"),
        ({"Apps": '{"a": {"redirect_uris": ["https://a.example/cb"], "scopes": ["r"],}}'}, "APPS is not JSON"),
        ({"Apps": "{"}, "Apps must be a JSON object"),
        ({"Apps": ""}, "APPS must not be empty if the build had no apps.json"),
        ({"Issuer": "https://a.example:443"}, "Issuer must be empty or an https origin"),
        ({"LateRetry": "maybe"}, "LateRetry must be one of allow, revoke"),
        ({"ProviderDialect": "standard"}, "give AriesClientSecretArn"),
        ({"DomainName": "a.example"}, "DomainName and CertificateArn need each other"),
        ({"SesionDays": "7"}, "SesionDays is no parameter of template.yaml"),
    ],
    ids=str,
)
def test_what_a_deployment_would_be_refused_for_is_said(
    checked: Checked, parameters: dict[str, str], told: str
) -> None:
    checked.configure(overrides(**parameters))
    status, said = checked()
    assert status == 1
    assert said.startswith("samconfig.toml [default]: ")
    assert told in said


def test_all_that_the_patterns_refuse_is_said_at_once(checked: Checked) -> None:
    checked.configure(overrides(SessionDays="0", LogLevel="DEBUG"))
    assert checked()[1].count("\n") == 2


def test_a_file_of_apps_is_checked_alone(checked: Checked) -> None:
    checked.apps_file.write_text(json.dumps(APPS))
    assert checked("--apps", str(checked.apps_file)) == (0, f"{checked.apps_file} can be used: web\n")
    checked.apps_file.write_text('{"web": {"redirect_uris": ["https://web.example.com/cb"], "scope": []}}')
    status, said = checked("--apps", str(checked.apps_file))
    assert (status, said.startswith(f"{checked.apps_file}: app 'web': unknown member 'scope'")) == (1, True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        ("version = ", "samconfig.toml is not TOML"),
        ("version = 0.1\n", "has no environment 'default'"),
        ("default = 0.1\n", "has no environment 'default'"),
        ("[default]\ndeploy = 'x'\n", "has no parameter_overrides yet"),
        ("[default.deploy]\nparameters = 'x'\n", "has no parameter_overrides yet"),
        ("[default.deploy.parameters]\nresolve_s3 = true\n", "has no parameter_overrides yet"),
        ("[default.deploy.parameters]\nparameter_overrides = 'no equals sign'\n", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(checked: Checked, content: str | None, told: str) -> None:
    if content is not None:
        checked.config.write_text(content)
    status, said = checked()
    assert (status, told in said) == (1, True), said


def test_a_file_of_apps_that_is_not_there_is_told(checked: Checked) -> None:
    assert checked("--apps", str(checked.apps_file))[1].endswith(
        "apps.json cannot be read: No such file or directory\n"
    )
    checked.apps_file.write_bytes(b"\xff")
    assert checked("--apps", str(checked.apps_file)) == (1, f"{checked.apps_file} is not UTF-8\n")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("apps.json", "APPS_FILE must be an absolute path"),
        ("/nonexistent/apps.json", "apps.json cannot be read: No such file or directory"),
    ],
)
def test_a_file_of_apps_that_the_build_would_not_take_is_told_though_the_parameter_has_apps(
    checked: Checked, name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked.configure(overrides())
    monkeypatch.setenv("APPS_FILE", name)
    status, said = checked()
    assert (status, told in said) == (1, True), said


def test_it_takes_about_a_second(checked: Checked) -> None:
    """A second for the whole command, with a configuration that passes every check."""
    checked.configure(overrides())
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.local.check_config", "--config-file", checked.config],
        cwd=ROOT,
        env={"PYTHONPATH": "layers/oauth_broker"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "can be used" in done.stdout) == (0, True), done.stderr
    # About 1.5 s on an idle machine. The other tests load it too.
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("named", "own", "took"),
    [
        (None, None, None),
        (None, "own", "own"),
        ("absolute", "own", "absolute"),
        ("relative", "own", "APPS_FILE must be an absolute path"),
        ("missing", "own", "missing.json cannot be read"),
    ],
)
def test_the_layers_build_takes_the_file_beside_it_or_the_one_that_is_named(
    tmp_path: Path, named: str | None, own: str | None, took: str | None
) -> None:
    """Run make as SAM CLI does: in a copy of layers/, with ARTIFACTS_DIR and the caller's environment."""
    layers, artifacts = tmp_path / "layers", tmp_path / "artifacts"
    shutil.copytree(ROOT / "layers", layers, ignore=shutil.ignore_patterns("__pycache__"))
    if own:
        (layers / "oauth_broker" / "apps.json").write_text(json.dumps({own: APPS["web"]}))
    (tmp_path / "absolute.json").write_text(json.dumps({"absolute": APPS["web"]}))
    names = {"absolute": tmp_path / "absolute.json", "relative": "absolute.json", "missing": tmp_path / "missing.json"}
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "build-OauthBrokerLayer", f"ARTIFACTS_DIR={artifacts}", f"PYTHON={sys.executable}", "PYTHON3_13="],
        cwd=layers / "oauth_broker",
        env={"PATH": os.environ["PATH"], **({"APPS_FILE": str(names[named])} if named else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    built = artifacts / "python" / "apps.json"
    if took in ("own", "absolute"):
        assert (done.returncode, list(json.loads(built.read_text()))) == (0, [took]), done.stderr
    elif took is None:
        assert (done.returncode, built.exists()) == (0, False), done.stderr
    else:
        assert (done.returncode != 0, took in done.stderr, built.exists()) == (True, True, False), done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps(APPS), None),
        ('{"web": {"scope": []}}', "apps.json: app 'web': unknown member 'scope'"),
        ("{", "apps.json is not JSON"),
        (None, "apps.json cannot be read: No such file or directory"),
    ],
)
def test_the_build_takes_a_file_of_apps_that_can_be_used_and_ends_at_any_other(
    tmp_path: Path, text: str | None, told: str | None
) -> None:
    source, target = tmp_path / "apps.json", tmp_path / "built.json"
    if text is not None:
        source.write_text(text)
    done = subprocess.run(
        [sys.executable, "-I", "-B", "build_apps.py", source, target],
        cwd=ROOT / "layers" / "oauth_broker",
        capture_output=True,
        text=True,
        check=False,
    )
    if told is None:
        assert (done.returncode, done.stdout) == (0, "apps.json: 1 registered apps\n")
        assert target.read_text() == text
    else:
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert not target.exists()
