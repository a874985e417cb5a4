"""Says, offline and in a second, why a deployment would be refused: ``python -m tests.local.check_config``.

It reads the parameters for ``sam deploy`` from samconfig.toml. It tests them with the patterns and rules of the
template, and with the functions' own code.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oauth_broker.config.clients import Registry, read_text
from oauth_broker.config.settings import APPS_FILE, Settings, refuse_two_registrations
from oauth_broker.errors import ConfigurationError
from oauth_broker.runtime.telemetry import PowertoolsTelemetry

ROOT = Path(__file__).resolve().parents[2]


class Unusable(Exception):
    """The faults, a line each."""


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0 if a deployment would start, 1 if it would be refused."""
    parser = argparse.ArgumentParser(prog="make check-config", description=__doc__)
    parser.add_argument("--apps", type=Path, help="check this file of apps, and nothing else")
    parser.add_argument("--config-file", type=Path, default=ROOT / "samconfig.toml", help="the file (samconfig.toml)")
    parser.add_argument("--config-env", default="default", help="the environment in this file (default)")
    options = parser.parse_args(arguments)
    try:
        if options.apps:
            print(f"{options.apps} can be used: {_named(_registry(options.apps))}")
        else:
            print(_checked(options.config_file, options.config_env, _file_of_the_build()))
    except (Unusable, ConfigurationError) as unusable:
        print(unusable, file=sys.stderr)
        return 1
    return 0


def _file_of_the_build() -> Path:
    """Return the file of apps for the layer's build, even if it does not exist. Raises Unusable."""
    named = os.environ.get("APPS_FILE", "")
    if not named:
        return APPS_FILE
    file = Path(named)
    if not file.is_absolute():
        raise Unusable("APPS_FILE must be an absolute path, because the build runs in another folder")
    _registry(file)
    return file


def _registry(file: Path) -> Registry:
    return Registry.parse(read_text(file), str(file))


def _named(registry: Registry) -> str:
    return ", ".join(client.client_id for client in registry.clients)


def _checked(config: Path, environment: str, apps_file: Path) -> str:
    given = _parameters(config, environment)
    # SAM CLI's libraries take most of the second, and use deprecated parts of themselves.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        from samcli.yamlhelper import yaml_parse

        from tests.local.template import Template
    from tests.support.parameters import refusals

    where = f"{config.name} [{environment}]"
    if refused := refusals(yaml_parse((ROOT / "template.yaml").read_text()), given):
        raise Unusable("\n".join(f"{where}: {refusal}" for refusal in refused))
    template = Template(given, {"Key": {"Arn": "key"}, "SubjectKey": {"Id": "subject-key"}})
    (function,) = (it for it in template.functions.get_all() if it.name == "TokenFunction")
    variables = {name: str(value) for name, value in (function.environment or {})["Variables"].items()}
    try:
        settings = Settings.from_environment(variables, apps_file)
        PowertoolsTelemetry(variables)
        refuse_two_registrations(variables, apps_file)
    except ConfigurationError as error:
        raise Unusable(f"{where}: {error.reason}") from error
    if not variables["APPS"] and "Apps" not in given:
        raise Unusable(
            f'{where}: the apps are in {apps_file.name}: write Apps="" into parameter_overrides. If you do not, '
            "CloudFormation keeps the last value of Apps, and the apps in it stay registered"
        )
    source = "the parameter Apps" if variables["APPS"] else apps_file.name
    return f"{where} can be used; {source} registers {_named(settings.registry)}"


def _parameters(config: Path, environment: str) -> dict[str, str]:
    """Return the parameters as SAM CLI reads them. Raises Unusable if it cannot read them."""
    from samcli.cli.types import CfnParameterOverridesType

    try:
        sections: Mapping[str, Any] = tomllib.loads(config.read_text("utf-8"))
    except OSError as error:
        raise Unusable(f"{config} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unusable(f"{config.name} is not TOML: {error}") from error
    commands = sections.get(environment)
    if not isinstance(commands, dict):
        raise Unusable(f"{config.name} has no environment {environment!r}")
    # The command's own section takes precedence over the section for all commands.
    merged = {**_options(commands, "global"), **_options(commands, "deploy")}
    if "parameter_overrides" not in merged:
        raise Unusable(
            f"{config.name} [{environment}] has no parameter_overrides yet: `sam deploy --guided` writes them. "
            "To check a file of apps alone: make check-config APPS=apps.json"
        )
    try:
        read: dict[str, str] = CfnParameterOverridesType().convert(merged["parameter_overrides"], None, None)
    except Exception as error:
        raise Unusable(f"{config.name} [{environment}]: parameter_overrides cannot be read: {error}") from error
    return read


def _options(commands: Mapping[str, Any], command: str) -> Mapping[str, Any]:
    section = commands.get(command)
    options = section.get("parameters") if isinstance(section, dict) else None
    return options if isinstance(options, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
