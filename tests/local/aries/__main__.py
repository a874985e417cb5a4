"""`python -m tests.local.aries --port 8081`: the simulator on its own."""

import argparse
import threading

from tests.local.aries.core import AriesCore
from tests.local.aries.dialects import DIALECTS
from tests.local.aries.simulator import AriesSimulator


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.local.aries", description="A strict simulator of Aries.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--client-id", default="local-broker")
    parser.add_argument("--client-secret", default="local-client-secret")
    parser.add_argument("--redirect-uri", action="append", help="may be given several times")
    parser.add_argument("--dialect", choices=list(DIALECTS), default="aries")
    parser.add_argument("--rotation", choices=["none", "same", "strict", "grace", "family"], default="strict")
    options = parser.parse_args()
    simulator = AriesSimulator(
        AriesCore(
            options.client_id,
            options.client_secret,
            options.redirect_uri or ["http://127.0.0.1:8080/oauth2/callback"],
            scopes=[
                "user:information",
                "account:information",
                "order:execution",
                "order:information",
                "market:information",
            ],
            dialect=options.dialect,
            rotation=options.rotation,
        )
    )
    with simulator.start(options.host, options.port):
        print(f"Authorize: {simulator.authorize_url}\nToken:     {simulator.token_url}\nCtrl-C stops it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
