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
SERVING = ("Authorize", "Callback", "Token", "Refresh", "Revoke", "Sessions", "Metadata", "Backend")
FUNCTIONS = (*SERVING, "Cleanup", "Operator", "Configuration")
# The functions that know sessions. Configuration runs in a deployment and logs no session.
OF_SESSIONS = FUNCTIONS[:-1]

HAS_BACKEND_ACCESS = "HasBackendAccess"
NO_VALUE = {"Ref": "AWS::NoValue"}

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
def handed_over(gradual: str = "false") -> dict[str, Any]:
    """Return the project's template as CloudFormation gets it, with ``gradual`` as GradualDeployment."""
    return transform(deepcopy(source()), GradualDeployment=gradual)


@cache
def deployed(gradual: str = "false", backend: str = "true") -> dict[str, Any]:
    """Return the same after CloudFormation has decided about ``backend``, the value of BackendAccess."""
    return decided(handed_over(gradual), HAS_BACKEND_ACCESS, is_true=backend == "true")


def decided(template: dict[str, Any], condition: str, *, is_true: bool) -> dict[str, Any]:
    """Return the template after one of its conditions is decided. It keeps the condition's name at its resources."""

    def chosen(value: Any) -> Any:
        match value:
            case {"Fn::If": [str(name), then, otherwise]} if name == condition:
                return chosen(then if is_true else otherwise)
            case {"Fn::If": [name, then, otherwise]}:
                return {"Fn::If": [name, chosen(then), chosen(otherwise)]}
            case dict():
                return {key: it for key, item in value.items() if (it := chosen(item)) != NO_VALUE}
            case list():
                return [it for item in value if (it := chosen(item)) != NO_VALUE]
            case _:
                return value

    def there(section: dict[str, Any]) -> dict[str, Any]:
        return {key: it for key, it in section.items() if is_true or it.get("Condition") != condition}

    kept = {name: there(template[name]) for name in ("Resources", "Outputs")}
    result: dict[str, Any] = chosen(template | kept)
    return result


def properties(logical_id: str, gradual: str = "false", backend: str = "true") -> dict[str, Any]:
    found: dict[str, Any] = deployed(gradual, backend)["Resources"][logical_id]["Properties"]
    return found


def of_type(name: str, gradual: str = "false", backend: str = "true") -> dict[str, dict[str, Any]]:
    return {key: value for key, value in deployed(gradual, backend)["Resources"].items() if value["Type"] == name}


def plain(value: Any) -> Any:
    """Replace references by names: {"Ref": "X"} by "X", {"Fn::GetAtt": ["X", "Arn"]} by "X.Arn"."""
    match value:
        case {"Ref": name}:
            return name
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
        case {"Fn::Sub": str(text)}:
            return text
        case {"Fn::Join": [str(between), list(parts)]}:
            return between.join(plain(part) for part in parts)
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
