"""CloudFormation calls this in a deployment. It refuses a configuration if no function could start with it."""

from __future__ import annotations

from oauth_broker.operations.checked_configuration import CheckedConfiguration, put

lambda_handler = CheckedConfiguration(put)
