"""How long a function is taken to wait for one call: the one thing that cannot be measured without AWS and Aries."""

from __future__ import annotations

# Milliseconds. Of DynamoDB and Secrets Manager alike, in the same region; and of Aries, across the internet.
AWS_MS = 10.0
ARIES_MS = 200.0
