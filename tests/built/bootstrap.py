"""Imports a function and hands events to it, as Lambda's runtime does. The runtime's own Python runs it in the sandbox.

A line of standard input is an event and the seconds for it; a line of standard output is the answer. Each line is
JSON. The function's own output goes to standard error.
"""

import json
import os
import sys
import time
import traceback

from tests.support.lambda_context import Context

sys.path[:0] = ["/var/task", "/opt/python"]
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
# Lambda's runtime does not hold output back either.
sys.stdout = os.fdopen(1, "w", buffering=1)


def main() -> None:
    """Answer events until standard input ends."""
    module, _, name = os.environ["_HANDLER"].partition(".")
    handler = getattr(__import__(module), name)
    for line in sys.stdin:
        event, seconds = json.loads(line)
        try:
            answer = handler(event, Context(seconds, now=time.monotonic))
        except Exception as error:  # noqa: BLE001 - what the Lambda runtime does with whatever a handler raises
            traceback.print_exc()
            answer = {"errorMessage": str(error), "errorType": type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
