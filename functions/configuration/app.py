"""Asked by CloudFormation in a deployment: refuses a configuration with which no function could start."""

from __future__ import annotations

from oauth_broker.operations.checked_configuration import CheckedConfiguration, put

lambda_handler = CheckedConfiguration(put)
