"""``template.yaml`` as written, and as SAM's own transform leaves it to CloudFormation."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import cache
from typing import Any
from unittest import mock

from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader

from tests.support.functions import ROOT

TEMPLATE = ROOT / "template.yaml"
# The functions of the API, then all functions.
SERVING = ("Authorize", "Callback", "Token", "Refresh", "Revoke", "Metadata")
FUNCTIONS = (*SERVING, "Cleanup", "Operator", "Configuration")
# The functions that know sessions. Configuration runs in a deployment and logs no session.
OF_SESSIONS = FUNCTIONS[:-1]

# A variable of Fn::Sub. Text with an exclamation mark stands for itself.
VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


@cache
def source() -> dict[str, Any]:
    """Return the template as written."""
    template: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return template


def transform(template: dict[str, Any], **parameters: str) -> dict[str, Any]:
    """Return SAM's output for a deployment with these parameters. SAM changes the given template on the way."""
    validator = SamTemplateValidator(
        template, ManagedPolicyLoader(None), region="eu-west-1", parameter_overrides=parameters
    )
    # SAM CLI writes YAML, which takes nine tenths of the time. JSON holds the same.
    with mock.patch("samcli.lib.translate.sam_template_validator.yaml_dump", json.dumps):
        transformed: dict[str, Any] = json.loads(validator.get_translated_template_if_valid())
    return transformed


@cache
def deployed(gradual: str = "false") -> dict[str, Any]:
    """Return the project's template as CloudFormation gets it, with ``gradual`` as GradualDeployment."""
    return transform(deepcopy(source()), GradualDeployment=gradual)


def properties(logical_id: str, gradual: str = "false") -> dict[str, Any]:
    found: dict[str, Any] = deployed(gradual)["Resources"][logical_id]["Properties"]
    return found


def of_type(name: str, gradual: str = "false") -> dict[str, dict[str, Any]]:
    return {key: value for key, value in deployed(gradual)["Resources"].items() if value["Type"] == name}


def plain(value: Any) -> Any:
    """Replace references by names: {"Ref": "X"} by "X", {"Fn::GetAtt": ["X", "Arn"]} by "X.Arn"."""
    match value:
        case {"Ref": name}:
            return name
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
        case {"Fn::Sub": str(text)}:
            return text
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def references(value: Any) -> set[str]:
    """Return the parameters and resources named in a part of a template."""
    match value:
        case {"Ref": name}:
            return {name}
        case {"Fn::GetAtt": [name, *_]}:
            return {name}
        case {"Fn::Sub": str(text)}:
            return {name.partition(".")[0] for name in VARIABLE.findall(text)}
        case {"Fn::Sub": [str(text), dict(variables)]}:
            return (references({"Fn::Sub": text}) - variables.keys()) | references(variables)
        case dict():
            named = {name for item in value.values() for name in references(item)}
            return named | set(listed(value.get("DependsOn", [])))
        case list():
            return {name for item in value for name in references(item)}
        case _:
            return set()
