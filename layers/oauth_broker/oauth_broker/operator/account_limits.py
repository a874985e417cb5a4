"""Limits of the AWS account in this region that the broker shares with everything else there."""

from __future__ import annotations

from oauth_broker.runtime import aws
from oauth_broker.runtime.aws import translated

# Service Quotas' code of KMS' "Cryptographic operations (symmetric) request rate".
KMS_QUOTA = "L-6E3AF000"


class AccountLimits:
    """Reads the limits. Every method raises ServiceUnavailable if AWS does not tell its limit.

    Each method makes its own client, because botocore's descriptions of these services serve the check alone.
    """

    def concurrent_executions(self) -> int:
        """Return how many times all Lambda functions may run at once."""
        with translated("lambda"):
            settings = aws.aws_lambda().get_account_settings()
        return int(settings["AccountLimit"]["ConcurrentExecutions"])

    def kms_requests(self) -> int:
        """Return how many cryptographic operations with symmetric keys KMS serves in a second."""
        with translated("service-quotas"):
            answer = aws.service_quotas().get_service_quota(ServiceCode="kms", QuotaCode=KMS_QUOTA)
        return int(answer["Quota"]["Value"])
