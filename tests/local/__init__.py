"""The whole product on one machine."""

import sys
from pathlib import Path

# The broker's package is a Lambda layer, and is installed nowhere.
_LAYER = str(Path(__file__).resolve().parents[2] / "layers" / "oauth_broker")
if _LAYER not in sys.path:
    sys.path.insert(0, _LAYER)
