"""A clone of the project, and hostile environments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.first_contact import alone
from tests.support.functions import ROOT
from tests.support.missing import missing

CLOSED = "http://127.0.0.1:9"
_SECONDS = 300
# A make that runs this test passes these variables to the makes below it.
_OF_MAKE = ("MAKE", "MFLAGS", "PYTHON", "COV_", "COVERAGE_", "PYTEST_", "EVERY_TEST_MUST_RUN")

_AWS = {
    "AWS_PROFILE": "corp",
    "AWS_DEFAULT_PROFILE": "corp",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_REGION": "nowhere",
    "AWS_DEFAULT_REGION": "nowhere",
    "AWS_CA_BUNDLE": "/nonexistent",
    "AWS_ROLE_ARN": "nonsense",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": CLOSED,
    "AWS_ENDPOINT_URL": CLOSED,
    "AWS_ENDPOINT_URL_DYNAMODB": CLOSED,
    "AWS_ENDPOINT_URL_SECRETS_MANAGER": CLOSED,
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_RETRY_MODE": "nonsense",
    "AWS_MAX_ATTEMPTS": "nonsense",
    "AWS_DEFAULTS_MODE": "nonsense",
    "AWS_STS_REGIONAL_ENDPOINTS": "nonsense",
    "AWS_LAMBDA_FUNCTION_NAME": "nonsense",
    "BOTO_CONFIG": "/nonexistent",
    "SAM_TEMPLATE_FILE": "/nonexistent",
    "SAM_CLI_CONTAINER_CONNECTION_TIMEOUT": "nonsense",
    "SAM_BUILD_MODE": "nonsense",
    "POWERTOOLS_DEV": "nonsense",
    "POWERTOOLS_METRICS_NAMESPACE": "nonsense",
    "MOTO_ACCOUNT_ID": "nonsense",
    "TEST_SERVER_MODE": "true",
}
PIP = {
    "PIP_USER": "1",
    "PIP_TARGET": "/nonexistent",
    "PIP_PREFIX": "/nonexistent",
    "PIP_ROOT": "/nonexistent",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_BINARY": ":all:",
    "PIP_ONLY_BINARY": ":none:",
    "PIP_PLATFORM": "win32",
    "PIP_CONSTRAINT": "/nonexistent",
    "PIP_DRY_RUN": "1",
    "PIP_IGNORE_INSTALLED": "1",
    "PIP_PYTHON": "/nonexistent",
    "PIP_LOG": "/nonexistent/log",
}
_PYTHON = {
    "PYTHONSAFEPATH": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONHOME": "/nonexistent",
    "PYTHONWARNINGS": "error",
    "PYTHONUSERBASE": "/nonexistent",
    "PYTHONPLATLIBDIR": "nonsense",
    "PYTHONPYCACHEPREFIX": os.devnull,
}
_ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
_OTHERS = {
    "VIRTUAL_ENV": "/nonexistent",
    "CONDA_PREFIX": "/nonexistent",
    "CDPATH": "/",
    "FLASK_DEBUG": "1",
    "WERKZEUG_RUN_MAIN": "true",
    "npm_config_global": "true",
    "npm_config_location": "global",
    "npm_config_package_lock": "false",
    "npm_config_dry_run": "true",
    "UV_SYSTEM_PYTHON": "1",
}
# The Makefile's own words, set for other programs.
_WORDS = dict.fromkeys(
    (
        "PORT",
        "APPS",
        "ISSUER",
        "ARIES",
        "TOKEN_STORE",
        "EVENTS",
        "ONCE",
        "CONFIG_ENV",
        "USERS",
        "PEAK",
        "ARGS",
        "PYTHON",
        "ACTION",
    ),
    "nonsense",
)
NO_INDEX = {
    "PIP_INDEX_URL": f"{CLOSED}/simple",
    "PIP_EXTRA_INDEX_URL": f"{CLOSED}/simple",
    "PIP_FIND_LINKS": "/nonexistent",
    "PIP_RETRIES": "1",
}


# Proxies and certificates are for the outside; programs on this machine alone need no such thing.
PROXIES = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), CLOSED
) | {
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "CURL_CA_BUNDLE": "/nonexistent",
    "SSL_CERT_FILE": "/nonexistent",
}


class Clone:
    """The project's files in their present state, committed or not, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        """Copy the files to a folder in ``folder``; the configuration lies beside it."""
        self.folder = folder / "it's a clone"
        self._around = folder
        git = shutil.which("git")
        assert git is not None, "git is not installed, and this needs it"
        listed = subprocess.run(
            [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).exists():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        self._write_configuration()

    def move(self, name: str) -> None:
        """Move the clone to another name."""
        self.folder = self.folder.rename(self.folder.with_name(name))

    @property
    def python(self) -> str:
        """The Python of .venv, relative to the clone's folder."""
        return ".venv/bin/python"

    def hostile(self, *, home: str | None = None) -> dict[str, str]:
        """Return an environment with everything wrong in it. If ``home`` is '', HOME is not set."""
        environment = self.friendly() | _AWS | PIP | _PYTHON | _ASCII | _OTHERS | _WORDS
        environment |= {"PYTHONPATH": str(self._around / "modules"), "PIP_CONFIG_FILE": str(self._around / "pip.conf")}
        environment |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), str(self._malformed))
        if home is not None:
            # pyenv's python3 finds its Pythons by HOME, and this changes HOME.
            environment["PYENV_ROOT"] = os.environ.get("PYENV_ROOT") or str(Path.home() / ".pyenv")
            environment["HOME"] = home
            if not home:
                del environment["HOME"]
        return environment

    def friendly(self) -> dict[str, str]:
        """Return the environment of this process, without the variables from a make above it."""
        return {name: value for name, value in os.environ.items() if not name.startswith(_OF_MAKE)}

    @property
    def malformed_home(self) -> str:
        """A home with a malformed .aws/config."""
        return str(self._malformed.parents[1])

    def make(self, *words: str, environment: Mapping[str, str], network: bool = True) -> tuple[int, str]:
        """Run make; return its exit status and its whole output."""
        return self.run("make", *words, environment=environment, network=network)

    def run(self, *command: str, environment: Mapping[str, str], network: bool = True) -> tuple[int, str]:
        """Run a command in the clone; return its exit status and its whole output."""
        # The tests' own interpreter is not under test, so it ignores the environment.
        apart = [] if network else [sys.executable, "-I", str(Path(alone.__file__))]
        done = subprocess.run(
            [*apart, *command],
            cwd=self.folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode == alone.NOT_PERMITTED and not network:
            missing("a network of its own is not permitted to a process here")
        # The result shows bytes that are not ASCII.
        return done.returncode, done.stdout.decode("utf-8", "backslashreplace")

    @contextmanager
    def making(self, *words: str, environment: Mapping[str, str]) -> Iterator[Iterator[str]]:
        """Run make beside the block, and yield make's lines to the block; then stop make as Ctrl-C does."""
        command = ["make", *words]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                os.killpg(process.pid, signal.SIGINT)

    @property
    def _malformed(self) -> Path:
        return self._around / "home" / ".aws" / "config"

    def _write_configuration(self) -> None:
        self._malformed.parent.mkdir(parents=True)
        self._malformed.write_text("[profile corp\nnot = [ini\n===\n")
        (self._around / "pip.conf").write_text(
            "[global]\nuser = true\nrequire-virtualenv = true\n[install]\ntarget = /nonexistent\nno-binary = :all:\n"
        )
        modules = self._around / "modules"
        modules.mkdir()
        for name in ("boto3", "samcli", "pytest", "venv", "sitecustomize"):
            (modules / f"{name}.py").write_text("raise SystemExit('a module from elsewhere was imported')\n")
