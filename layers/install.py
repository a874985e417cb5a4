"""Installs the packages of a lock file by their hashes: into a new environment, or with more options of pip.

    python3 -I install.py LOCK --environment .venv
    python3 -I install.py LOCK --target FOLDER ...

The project's Makefile runs it. The layers' Makefiles run it too, in the temporary copy of layers/ that ``sam build``
makes. It uses the standard library only, and the pip of the Python that runs it.

The caller may configure pip in variables and in files. The settings that reach a package index are kept. All others
stay outside: ``user``, ``target``, ``require-virtualenv`` and the like would put the packages elsewhere, or nowhere.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

# The settings for the source of packages and the way to it. The names are those of `pip config list`.
KEPT_SETTINGS = frozenset(
    {
        "cache-dir",
        "cert",
        "client-cert",
        "default-timeout",
        "extra-index-url",
        "find-links",
        "index-url",
        "keyring-provider",
        "no-cache-dir",
        "no-index",
        "proxy",
        "retries",
        "timeout",
        "trusted-host",
        "use-deprecated",
        "use-feature",
    }
)
# A later section wins over an earlier one. Other sections are for other commands of pip.
_SECTIONS = ("global", "install", ":env:")
_SETTING = re.compile(r"(?P<section>:env:|[a-z]+)\.(?P<name>[a-z-]+)=(?P<value>.*)")
_SECONDS_BETWEEN_LINES = 5
_TOLD_LINES = 8
_DEFAULT_INDEX = "https://pypi.org/simple"
# The messages of pip if it does not reach its index. pip then also says that there is no such package.
_UNREACHABLE = re.compile(
    r"Retrying \(|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    r"Max retries exceeded|Could not fetch URL|(?:40[137]|5\d\d) (?:Client|Server) Error"
)
_REASON = re.compile(
    r"\[Errno -?\d+\] ([A-Z][A-Za-z ,]+)|(certificate verify failed[^)(]*)|(Cannot connect to proxy)|(timed out)|"
    r"((?:40[137]|5\d\d) (?:Client|Server) Error[^\n]*)"
)


class Failed(Exception):
    """An installation failed; the message says the missing thing."""


def main() -> int:
    """Return the exit status: 0, or 1 if the installation failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--environment", type=Path)
    options, more = parser.parse_known_args()
    try:
        if options.environment is None:
            _install(sys.executable, options.lock, more)
        else:
            _install_environment(options.environment, options.lock, more)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Could not install {options.lock}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _install_environment(folder: Path, lock: Path, more: Sequence[str]) -> None:
    print(f"Installing {lock} into {folder}, once, with Python {platform.python_version()} ...", flush=True)
    _make_environment(folder)
    try:
        _install(str(folder / "bin" / "python"), lock, more, progress_of=folder)
    except Failed as failure:
        raise Failed(f"{failure}\n{folder} is not made; the next run begins anew.") from failure


def _make_environment(folder: Path) -> None:
    for module in ("ssl", "venv", "ensurepip"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise Failed(_without(module)) from error
    if folder.exists():
        shutil.rmtree(folder)
    made = subprocess.run(
        [sys.executable, "-I", "-m", "venv", str(folder)],
        env=_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if made.returncode != 0:
        raise Failed(f"Python could not make the environment {folder}:\n{_last_lines(made.stdout)}")


def _without(module: str) -> str:
    version = ".".join(platform.python_version_tuple()[:2])
    cure = {
        "ssl": "It was built without OpenSSL: install another one",
        "venv": f"On Debian and Ubuntu: apt install python{version}-venv",
        "ensurepip": f"On Debian and Ubuntu: apt install python{version}-venv",
    }
    return (
        f"{sys.executable} has no module {module}, so it cannot make an environment with pip. {cure[module]}."
        " Or name another Python: make PYTHON=/path/to/python3 ..."
    )


def _install(python: str, lock: Path, more: Sequence[str], progress_of: Path | None = None) -> None:
    settings = _kept_settings(python)
    # The lock file names every package, and pip resolves no dependencies.
    pip = [python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--requirement", str(lock)]
    ways = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    status, output = _watched([*pip, *ways, *more], _environment(settings), lock, progress_of)
    if status != 0:
        raise Failed(_explained(output, lock, settings.get("index-url", _DEFAULT_INDEX)))


def _kept_settings(python: str) -> dict[str, str]:
    """Ask pip for its configuration in variables and files; return the settings that are kept."""
    environment = _environment({})
    environment.update({name: value for name, value in os.environ.items() if _is_kept(name)})
    environment.pop("PIP_CONFIG_FILE")
    if "PIP_CONFIG_FILE" in os.environ:
        environment["PIP_CONFIG_FILE"] = os.environ["PIP_CONFIG_FILE"]
    listed = subprocess.run(
        [python, "-m", "pip", "config", "list"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if "No module named pip" in listed.stderr:
        raise Failed(f"{python} has no pip: set PYTHON to a Python that has.")
    if listed.returncode != 0:
        raise Failed(f"pip cannot read its configuration:\n{_last_lines(listed.stderr)}")
    found = [match for match in map(_SETTING.fullmatch, listed.stdout.splitlines()) if match]
    ranked = sorted(
        (match for match in found if match["section"] in _SECTIONS), key=lambda it: _SECTIONS.index(it["section"])
    )
    return {match["name"]: ast.literal_eval(match["value"]) for match in ranked if match["name"] in KEPT_SETTINGS}


def _is_kept(variable: str) -> bool:
    return variable.startswith("PIP_") and variable[len("PIP_") :].lower().replace("_", "-") in KEPT_SETTINGS


def _environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the caller's environment with these settings of pip, and with no other configuration of Python and pip."""
    # If __PYVENV_LAUNCHER__ is set when an environment is made, macOS starts the wrong interpreter in that environment.
    foreign = ("PYTHON", "PIP_", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # With this value pip reads no configuration file.
    kept["PIP_CONFIG_FILE"] = os.devnull
    kept["PIP_ROOT_USER_ACTION"] = "ignore"
    kept.update({"PIP_" + name.upper().replace("-", "_"): value for name, value in settings.items()})
    return kept


def _watched(
    command: Sequence[str], environment: dict[str, str], lock: Path, progress_of: Path | None
) -> tuple[int, str]:
    """Run pip; return its exit status and its output. A line tells its progress every few seconds."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        reader = Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        said = time.monotonic()
        while reader.is_alive():
            reader.join(0.2)
            if progress_of is not None and time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
                print(_so_far(lines, lock, progress_of), flush=True)
                said = time.monotonic()
        status = process.wait()
    return status, "".join(lines)


def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
    if process.stdout is not None:
        for line in process.stdout:
            lines.append(line)


def _so_far(lines: Sequence[str], lock: Path, folder: Path) -> str:
    if lines and "Retrying (" in lines[-1]:
        return "  no answer from the package index yet, trying again"
    ignored = sum(line.startswith("Ignoring ") for line in lines)
    total = len(re.findall(r"^[^\s#]+==", lock.read_text(encoding="utf-8"), re.MULTILINE)) - ignored
    if any(line.startswith("Installing collected packages") for line in lines):
        # pip prints no more lines, and the installed packages show the progress. pip itself was there before.
        done = len(list(folder.glob("lib/python*/site-packages/*.dist-info"))) - 1
        return f"  {max(0, min(done, total))}/{total} installed"
    fetched = [match[1] for match in (re.match(r"Collecting ([A-Za-z0-9._-]+)", line) for line in lines) if match]
    return f"  {len(fetched)}/{total} fetched{', now ' + fetched[-1] if fetched else ''}"


def _explained(output: str, lock: Path, index: str) -> str:
    if "DO NOT MATCH THE HASHES" in output:
        return f"The package index ({_shown(index)}) has other files than {lock} names:\n{_last_lines(output)}"
    if "No space left on device" in output:
        return f"Could not install {lock}: no space is left on this device."
    missing = re.search(
        r"Could not find a version that satisfies the requirement (\S+)[^(]*\(from versions: (.*)\)", output
    )
    if missing[2] == "none" if missing else _UNREACHABLE.search(output):
        reasons = [next(filter(None, found)) for found in _REASON.findall(output)]
        why = f": {reasons[-1].strip()}" if reasons else ""
        # With PIP_RETRIES=0 pip does not print the reason, and an index without any package looks the same.
        what = (
            "cannot be reached" if _UNREACHABLE.search(output) else "cannot be reached, or knows none of the packages"
        )
        return (
            f"The package index ({_shown(index)}) {what}{why}.\n"
            f"Installing {lock} needs it. Behind a proxy set HTTPS_PROXY; for an index of your own, PIP_INDEX_URL."
        )
    if missing is not None:
        return (
            f"The package index ({_shown(index)}) has no {missing[1]} for Python {platform.python_version()} on"
            f" {platform.system()} {platform.machine()}, so {lock} cannot be installed.\n"
            "Another Python may do: make PYTHON=/path/to/python3 ..."
        )
    return f"pip could not install {lock}:\n{_last_lines(output)}"


def _shown(url: str) -> str:
    """Leave out a user and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def _last_lines(text: str) -> str:
    return "\n".join("  " + line for line in text.strip().splitlines()[-_TOLD_LINES:])


if __name__ == "__main__":
    sys.exit(main())
