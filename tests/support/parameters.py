"""Checks the template's parameters as CloudFormation does before it deploys anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# Values of AriesIssuer from Keycloak, Auth0 and Okta. Each names a tenant by its path or ends in a slash.
ISSUERS_WITH_A_PATH = [
    "https://kc.example/realms/x",
    "https://kc.example/realms/my%20realm",
    "https://tenant.eu.auth0.com/",
    "https://x.okta.com/oauth2/default",
]


def is_accepted(parameter: Mapping[str, Any], value: str) -> bool:
    """Tell whether CloudFormation takes the value: a pattern must match all of it."""
    if parameter["Type"] == "Number" and not re.fullmatch(r"-?[0-9]+", value):
        return False
    checks: dict[str, Callable[[Any], bool]] = {
        "AllowedValues": lambda allowed: value in map(str, allowed),
        "AllowedPattern": lambda pattern: re.fullmatch(pattern, value) is not None,
        "MinLength": lambda length: len(value) >= length,
        "MaxLength": lambda length: len(value) <= length,
        "MinValue": lambda least: int(value) >= least,
        "MaxValue": lambda most: int(value) <= most,
    }
    return all(check(parameter[name]) for name, check in checks.items() if name in parameter)


def evaluate(expression: Any, values: Mapping[str, str]) -> Any:
    """Return the value of a rule or a condition, by CloudFormation's functions for them."""
    match expression:
        case {"Ref": name}:
            return values[name]
        case {"Fn::Equals": [left, right]}:
            return evaluate(left, values) == evaluate(right, values)
        case {"Fn::Contains": [several, one]}:
            return evaluate(one, values) in several
        case {"Fn::Select": [int(place), several]}:
            return evaluate(several, values)[place]
        case {"Fn::Split": [str(between), text]}:
            return evaluate(text, values).split(between)
        case {"Fn::Not": [negated]}:
            return not evaluate(negated, values)
        case {"Fn::And": terms}:
            return all(evaluate(term, values) for term in terms)
        case {"Fn::Or": terms}:
            return any(evaluate(term, values) for term in terms)
        case _:
            return expression


def broken_rules(template: Mapping[str, Any], values: Mapping[str, str]) -> list[str]:
    """Return the messages of the template's rules against values that do not go together."""
    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if evaluate(rule.get("RuleCondition", True), values)
        for assertion in rule["Assertions"]
        if not evaluate(assertion["Assert"], values)
    ]


def refusals(template: Mapping[str, Any], given: Mapping[str, str]) -> list[str]:
    """Return CloudFormation's reasons to refuse a deployment with these parameters, a sentence each."""
    parameters: Mapping[str, Any] = template["Parameters"]
    found = [f"{name} is no parameter of template.yaml" for name in given if name not in parameters]
    for name, parameter in parameters.items():
        if name not in given:
            found += [] if "Default" in parameter else [f"{name} is required, and has no value"]
        elif not is_accepted(parameter, given[name]):
            allowed = parameter.get("AllowedValues", [])
            rule = parameter.get("ConstraintDescription") or f"must be one of {', '.join(map(str, allowed))}"
            found.append(f"{name} {' '.join(rule.split()).rstrip('.')}")
    if found:
        return found
    return broken_rules(
        template, {name: given.get(name, str(it.get("Default", ""))) for name, it in parameters.items()}
    )
