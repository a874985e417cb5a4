"""The messages after a fresh clone, and the parts of a caller's configuration that stay out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from layers import install, sam_version
from tests.local.environment import apart_from_the_callers_aws
from tests.support.functions import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
DEPLOY = (ROOT / "docs" / "deploy.md").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
LOCK = ROOT / "tests" / "requirements.txt"


def suits(version: tuple[int, int], without: str = "") -> subprocess.CompletedProcess[str]:
    """Run the check as if in a Python of another version, or without a module."""
    program = (
        f"import platform, runpy, sys; sys.version_info = {(*version, 0)}; sys.modules[{without!r}] = None;"
        f"platform.python_version = lambda: '{version[0]}.{version[1]}.0';"
        f"runpy.run_path({str(ROOT / 'tests' / 'suits.py')!r})"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


class TestThePythonThatItTakes:
    def test_the_project_the_makefile_and_the_documents_name_the_same_versions(self) -> None:
        oldest, beyond = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', PROJECT, re.MULTILINE)[0]
        versions = [f"3.{minor}" for minor in range(int(oldest), int(beyond))]
        (candidates,) = re.findall(r"^PYTHONS := \$\(if .*?,.*?,(.*)\)$", MAKEFILE, re.MULTILINE)
        assert candidates.split() == [*(f"python{version}" for version in reversed(versions)), "python3", "python"]
        assert f"This needs Python {', '.join(versions[:-1])} or {versions[-1]}," in MAKEFILE
        span = f"Python from {versions[0]} to {versions[-1]}"
        assert f"takes make and a {span};" in MAKEFILE
        assert f"git, make and a {span}" in README
        for text in (README, DEPLOY):
            assert f"`python3` from {versions[0]} to {versions[-1]}" in text

    @pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13), (3, 14)])
    def test_versions_between_the_bounds_do(self, version: tuple[int, int]) -> None:
        assert suits(version).returncode == 0

    @pytest.mark.parametrize("version", [(3, 10), (3, 15), (2, 7)])
    def test_older_and_newer_versions_do_not_and_say_their_number(self, version: tuple[int, int]) -> None:
        done = suits(version)
        assert done.returncode == 1
        assert done.stdout == f"{sys.executable} is Python {version[0]}.{version[1]}.0.\n"

    @pytest.mark.parametrize("module", ["venv", "ensurepip", "ssl"])
    def test_one_that_cannot_make_an_environment_does_not_and_says_why(self, module: str) -> None:
        done = suits((3, 13), without=module)
        assert done.returncode == 1
        assert f"without the module {module}. " in done.stdout

    def test_the_check_is_read_by_old_pythons(self) -> None:
        assert not re.search(r"\bf['\"]|->|: \w+ =|:=", (ROOT / "tests" / "suits.py").read_text())


class TestPip:
    def test_only_the_settings_that_reach_an_index_get_through(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        (tmp_path / "pip.conf").write_text(
            "[global]\nindex-url = https://global.example.com/simple\ntarget = /elsewhere\nrequire-virtualenv = true\n"
            "extra-index-url =\n  https://one.example.com\n  https://two.example.com\n"
            "[install]\nindex-url = https://index.example.com/simple\nuser = true\nno-binary = :all:\n"
            "[download]\nproxy = http://download.example.com\n"
        )
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        monkeypatch.setenv("PIP_CERT", "/cert.pem")
        monkeypatch.setenv("PIP_USER", "1")
        monkeypatch.setenv("PIP_PLATFORM", "win32")
        kept = install._kept_settings(sys.executable)
        # The configuration of this machine, in /etc, may add more.
        assert not kept.keys() & {"target", "require-virtualenv", "user", "no-binary", "platform", "constraint"}
        assert kept["index-url"] == "https://index.example.com/simple"
        assert kept["extra-index-url"].split() == ["https://one.example.com", "https://two.example.com"]
        assert kept["cert"] == "/cert.pem"
        assert kept.get("proxy") != "http://download.example.com"

        monkeypatch.setenv("PYTHONHOME", "/elsewhere")
        environment = install._environment(kept)
        settings = {name for name in environment if name.startswith(("PIP_", "PYTHON"))}
        theirs = {"PIP_" + name.upper().replace("-", "_") for name in kept}
        assert settings == {"PIP_CONFIG_FILE", "PIP_ROOT_USER_ACTION", *theirs}
        assert environment["PIP_CONFIG_FILE"] == os.devnull

    @pytest.mark.parametrize(
        ("output", "words"),
        [
            (
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(': Failed to "
                "establish a new connection: [Errno 111] Connection refused')': /simple/moto/\nERROR: Could not find a "
                "version that satisfies the requirement moto==5.2.5 (from versions: none)\n",
                "cannot be reached: Connection refused.",
            ),
            (
                "ERROR: Could not find a version that satisfies the requirement cfn-lint==1.58.0 "
                "(from versions: 1.0, 1.1)\n",
                f"has no cfn-lint==1.58.0 for Python {sys.version.split()[0]} on ",
            ),
            (
                "ERROR: Could not find a version that satisfies the requirement moto==5.2.5 (from versions: none)\n",
                "cannot be reached, or knows none of the packages.",
            ),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n", "has other files than "),
            ("OSError: [Errno 28] No space left on device\n", "no space is left"),
            ("ERROR: something else\n", "  ERROR: something else"),
        ],
    )
    def test_a_failure_says_what_is_missing(self, output: str, words: str) -> None:
        explained = install._explained(output, LOCK, "https://user:password@index.example.com/simple")
        assert words in explained
        assert "password" not in explained

    def test_its_progress_is_told(self, tmp_path: Path) -> None:
        total = len(re.findall(r"==\S+ ?;? ?.*\\$", LOCK.read_text(), re.MULTILINE))
        lines = ["Ignoring x: markers\n", "Collecting moto==5.2.5 (from -r x)\n"]
        assert install._so_far(lines, LOCK, tmp_path) == f"  1/{total - 1} fetched, now moto"
        for name in ("pip", "moto"):
            (tmp_path / "lib" / "python3.13" / "site-packages" / f"{name}-1.dist-info").mkdir(parents=True)
        lines.append("Installing collected packages: moto\n")
        assert install._so_far(lines, LOCK, tmp_path) == f"  1/{total - 1} installed"
        assert "no answer" in install._so_far(["WARNING: Retrying (Retry(total=4"], LOCK, tmp_path)


class TestSamCli:
    @pytest.fixture
    def sam(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return tmp_path / "sam"

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            ("SAM CLI, version 1.157.1", 1),
            ("SAM CLI, version 1.99.0", 1),
            ("SAM CLI, version 1.158.0", 0),
            ("SAM CLI, version 2.0.0", 0),
            ("a warning \\351\\nSAM CLI, version 1.160.0.dev1", 0),
            # An editor has the name sam, too.
            ("sam 1.0.0", 0),
        ],
    )
    @pytest.mark.parametrize("warns", [False, True])
    def test_the_one_on_path_is_refused_if_it_is_too_old(
        self, sam: Path, said: str, status: int, *, warns: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sam.write_text(f"#!/bin/sh\nprintf '{said}\n' >&2\n")
        sam.chmod(0o755)
        assert sam_version.main(["--warn"] * warns) == (0 if warns else status)
        errors = capsys.readouterr().err
        if status:
            version = said.rsplit(maxsplit=1)[-1]
            assert f"is version {version}; building and deploying this takes {sam_version.OLDEST} or newer" in errors
            assert "Upgrade it" in errors
            assert errors.startswith("Warning: ") is warns
        else:
            assert errors == ""

    def test_one_that_does_not_run_is_told(self, sam: Path, capsys: pytest.CaptureFixture[str]) -> None:
        sam.write_text("#!/nonexistent\n")
        sam.chmod(0o755)
        assert sam_version.main([]) == 1
        assert f"The SAM CLI on PATH ({sam}) does not run" in capsys.readouterr().err

    def test_another_program_of_that_name_is_none_of_ours(self, sam: Path) -> None:
        sam.write_text("#!/bin/sh\necho 'usage: sam FILE' >&2; exit 2\n")
        sam.chmod(0o755)
        assert sam_version.main([]) == 0

    def test_none_is_needed_for_the_build(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert sam_version.main([]) == 0

    @pytest.mark.parametrize(
        "before",
        [README.split("\n## Deploy in five steps\n")[1].split("\n1. ")[0], DEPLOY.split("\n## The steps\n")[0]],
    )
    def test_the_documents_name_the_oldest_before_the_first_step(self, before: str) -> None:
        assert f"{sam_version.OLDEST} or newer" in before

    def test_the_projects_own_is_no_older_than_the_oldest(self) -> None:
        (own,) = re.findall(r"^aws-sam-cli==(\S+)", LOCK.read_text(), re.MULTILINE)
        assert sam_version.numbers(own) >= sam_version.numbers(sam_version.OLDEST)
        assert "\t@$(BIN)/python -I layers/sam_version.py --warn\n" in MAKEFILE.split("\nbuild: $(READY)")[1]


def test_nothing_of_the_callers_aws_gets_through_and_the_makefile_names_the_same_prefixes() -> None:
    theirs = ["AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL_KMS", "BOTO_CONFIG", "SAM_CLI_X", "POWERTOOLS_DEV", "MOTO_X"]
    given = apart_from_the_callers_aws([*theirs, "HOME"], "eu-west-1")
    assert [given[name] for name in theirs] == [None] * len(theirs)
    assert "HOME" not in given
    (patterns,) = re.findall(r"CALLERS := .*?\\\n  (.*?), \\\n", MAKEFILE)
    for name in theirs:
        assert any(name.startswith(pattern.rstrip("%")) for pattern in patterns.split())


# The first line of a console script names its folder. A moved clone would break the script.
def test_no_script_of_an_environment_is_called() -> None:
    files = [ROOT / "Makefile", *(ROOT / ".ci").iterdir(), *(ROOT / "tests").rglob("*.py")]
    files += [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    scripts = re.compile(
        r"""\$\(BIN\)/(?!python\b)\w|\.venv[a-z-]*/bin/(?!python\b)\w|:\.ready=bin/(?!python\b)|"""
        r"""with_name\("[a-z-]+"\)|"bin" / (?!"python")"""
    )
    found = {
        str(path.relative_to(ROOT)): scripts.findall(path.read_text())
        for path in files
        if "node_modules" not in path.parts and path != Path(__file__)
    }
    assert {name: calls for name, calls in found.items() if calls and name != "tests/local/phone.py"} == {}
