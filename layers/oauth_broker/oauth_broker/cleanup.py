"""The table's stream of removed rows: delete the secret of every one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oauth_broker.errors import Busy
from oauth_broker.invocation import Invocation
from oauth_broker.vault import Vault

# `batchItemFailures`: the items from which on Lambda repeats the batch.
BatchResponse = dict[str, list[dict[str, str]]]


class Cleanup:
    """Deletes secrets whose row is gone, whatever state it was in: the secret's name follows from the row's key."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def __call__(self, event: Mapping[str, Any], invocation: Invocation) -> BatchResponse:
        """Handle a batch of stream records; return the sequence number of the first failure, if any.

        Lambda repeats the batch from there on (``ReportBatchItemFailures``), and a repeated deletion is a success.
        """
        for record in event["Records"]:
            if record["eventName"] != "REMOVE":
                continue
            change = record["dynamodb"]
            session_id = change["Keys"]["session_id"]["S"]
            try:
                self._vault.delete(session_id)
            except Busy as error:
                invocation.count("SecretsNotDeleted")
                invocation.log("secret_not_deleted", level="warning", session_id=session_id, reason=error.reason)
                return {"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}
            invocation.count("SecretsDeleted")
        return {"batchItemFailures": []}
