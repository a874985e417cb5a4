"""Imports a function and hands events to it, as Lambda's runtime does: run by the runtime's own Python in the sandbox.

A line of standard input is an event and the seconds for it, a line of standard output the answer, both JSON. What the
function prints goes to standard error.
"""

import json
import os
import sys
import time
import traceback
import uuid

sys.path[:0] = ["/var/task", "/opt/python"]
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
# Lambda's runtime keeps nothing back either.
sys.stdout = os.fdopen(1, "w", buffering=1)


class Context:
    """The part of Lambda's context object that functions use."""

    def __init__(self, seconds: float) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._ends_at = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function would be stopped."""
        return max(0, int((self._ends_at - time.monotonic()) * 1000))


def main() -> None:
    """Answer events until standard input ends."""
    module, _, name = os.environ["_HANDLER"].partition(".")
    handler = getattr(__import__(module), name)
    for line in sys.stdin:
        event, seconds = json.loads(line)
        try:
            answer = handler(event, Context(seconds))
        except Exception as error:  # noqa: BLE001 - what the Lambda runtime does with whatever a handler raises
            traceback.print_exc()
            answer = {"errorMessage": str(error), "errorType": type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
