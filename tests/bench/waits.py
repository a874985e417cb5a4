"""Assumed waits for one call. They cannot be measured without AWS and Aries."""

from __future__ import annotations

# Milliseconds: AWS_MS for DynamoDB and Secrets Manager in the same region, ARIES_MS across the internet.
AWS_MS = 10.0
ARIES_MS = 200.0
