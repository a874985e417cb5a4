"""``make audit``: fails for a known hole or a mistake. If no service can be asked, it does not fail."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from tests.audit.audit import Report, npm_finding, python_findings
from tests.audit.findings import accepted
from tests.audit.locks import NPM, SHIPPED, TESTING
from tests.audit.services import OSV_URL, Broken


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description=__doc__)
    parser.add_argument("--osv-url", default=OSV_URL, help="the service to ask about Python's packages")
    parser.add_argument("--registry", help="the registry to ask about npm's packages; npm's own setting if left out")
    options = parser.parse_args()
    try:
        entries = accepted()
    except Broken as error:
        print(f"FAILED: {error}")
        return 1
    shipped, *testing = python_findings([SHIPPED, *TESTING], options.osv_url)
    testing.append(npm_finding(NPM, options.registry))
    report = Report([shipped], testing, entries, datetime.now(tz=UTC).date())
    print("\n".join(report.lines()))
    return 1 if report.has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
