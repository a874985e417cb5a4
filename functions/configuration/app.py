"""A part of every deployment: refuses a configuration with which no function could start (a custom resource)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.checked_configuration import CheckedConfiguration, put


def make_handler(environment: Mapping[str, str]) -> CheckedConfiguration:
    """Put the function together. It starts with any configuration, to say what is wrong with it."""
    return CheckedConfiguration(environment, put)


lambda_handler = make_handler(os.environ)
