"""A cold start, measured from the inside: a bare python3.13 runs it, and imports from ``folders`` alone.

``python3.13 -I -S -B cold_start.py`` reads its settings from standard input. Its last line is a JSON object. The start
of Python itself does not count, because it is the same for everything.
"""

import contextlib
import gc
import importlib
import itertools
import json
import pkgutil
import sys
import time
from collections.abc import Callable
from typing import Any

# The path serves this one import. The import brings in no module that a function imports itself.
sys.path.append(__file__.rsplit("/", 3)[0])
from tests.support.lambda_context import Context

sys.path.pop()
# More requests in the same process show the cost of a warm request.
WARM_REQUESTS = 10

Request = Callable[[], Any]
Times = list[tuple[float, float]]
Started = tuple[Request, Any, Times]


def handler(told: dict[str, Any]) -> Request:
    """Import the function as Lambda does."""
    app = importlib.import_module("app")
    context = Context(request_id="00000000-0000-0000-0000-000000000000")
    return lambda: app.lambda_handler(told["event"], context)


def ordinary(told: dict[str, Any]) -> Request:
    """Import everything and make every client up front, like an ordinary handler. Then import the function."""
    package = importlib.import_module("oauth_broker")
    for module in pkgutil.walk_packages(package.__path__, "oauth_broker."):
        importlib.import_module(module.name)
    aws = importlib.import_module("oauth_broker.runtime.aws")
    for service in ("dynamodb", "secretsmanager", "kms", "dynamodbstreams", "sqs"):
        getattr(aws, service)()
    return handler(told)


def floor(told: dict[str, Any]) -> Request:
    """Make the clients of the function alone, and make its bare calls."""
    boto3 = importlib.import_module("boto3")
    config = importlib.import_module("botocore.config").Config(
        connect_timeout=1, read_timeout=1.5, retries={"mode": "standard", "total_max_attempts": 2}
    )
    clients = {service: boto3.client(service, config=config) for service in told["clients"]}
    session = importlib.import_module("requests").Session() if told["requests"] else None

    def request() -> Any:
        answer = None
        for call in told["calls"]:
            if "url" in call:
                assert session is not None
                asked = session.request(
                    call["method"], call["url"], data=call["body"], headers=call["headers"], timeout=10
                )
                asked.raise_for_status()
                answer = asked.json()
            else:
                answer = getattr(clients[call["service"]], call["method"])(**call["parameters"])
        return answer is not None

    return request


KINDS: dict[str, Callable[[dict[str, Any]], Request]] = {
    "ours": handler,
    "row": handler,
    "ordinary": ordinary,
    "floor": floor,
}


def main() -> None:
    """Start the function, send a first request and then more requests, and print the time of each step."""
    told = json.load(sys.stdin)
    sys.path[:0] = told["folders"]
    # Garbage of this program must not count as work of the start.
    gc.collect()
    request, answer, times = _at_depth(told["depth"], lambda: _started(told))
    peak_bytes = _peak_bytes()
    for _ in range(WARM_REQUESTS if told["warm"] else 0):
        request()
    times.append(_times())
    print()
    print(
        json.dumps(
            {
                "cpu_seconds": [after[0] - before[0] for before, after in itertools.pairwise(times)],
                "wall_seconds": [after[1] - before[1] for before, after in itertools.pairwise(times)],
                "warm_requests": WARM_REQUESTS,
                "peak_bytes": peak_bytes,
                "answer": answer,
            }
        )
    )


def _started(told: dict[str, Any]) -> Started:
    """Start the function and send its first request. Return the request, its answer, and the times around both."""
    times = [_times()]
    request = KINDS[told["kind"]](told)
    times.append(_times())
    answer = request()
    times.append(_times())
    return request, answer, times


def _at_depth(depth: int, call: Callable[[], Started]) -> Started:
    """Call with ``depth`` more frames on the stack."""
    return _at_depth(depth - 1, call) if depth else call()


def _times() -> tuple[float, float]:
    """Return the CPU time of all threads and the wall-clock time, in seconds."""
    return time.process_time(), time.perf_counter()


def _peak_bytes() -> int:
    """Return the peak memory of this process. getrusage would include the peak of its parent."""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


main()
