"""CloudFormation calls this in a deployment. It refuses a configuration if no function could start with it."""

from __future__ import annotations

from oauth_broker.operations.checked_configuration import CheckedConfiguration, put
from oauth_broker.runtime.start import started

lambda_handler = started(CheckedConfiguration(put))
