"""The cost of a day of a flood, against sums made by hand and against docs/security.md."""

from __future__ import annotations

import re

import pytest

from tests.bench.cost import cost_of
from tests.bench.cost_floods import Flood, deletions, floods, limits, table
from tests.bench.cost_prices import PriceList
from tests.bench.cost_usage import Assumed, Stack
from tests.support.functions import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
PRICES = PriceList.load()
STACK = Stack(alarm_metrics=0, dashboards=0, keys=0, memory_mb=dict.fromkeys(("Authorize", "Callback", "Token"), 1_024))
# A millisecond of a core for each request, and log lines of a kilobyte in all.
PLAIN = Assumed(
    cpu_ms=dict.fromkeys(Assumed().cpu_ms, 1.0),
    full_core_mb=1_024,
    log_bytes=dict.fromkeys(Assumed().log_bytes, 524),
    platform_log_bytes=500,
    answer_bytes=1_024,
    row_bytes=924,
    log_months=0,
)


def dollars(flood: Flood) -> dict[str, float]:
    return {f"{it.service}: {it.name}": cost_of([it], PRICES) for it in flood.items(STACK, PLAIN)}


def test_a_flood_of_begun_sign_ins_by_hand() -> None:
    # 100 a second are 8.64 million a day.
    begun = Flood("begun", {"authorize": 100}, {"authorize": 2}, rows=100)
    assert dollars(begun) == {
        "API Gateway: requests": pytest.approx(8.64),
        "API Gateway: data out": pytest.approx(8_640_000 / 1024**2 * 0.09),
        "Lambda: invocations": pytest.approx(1.728),
        # A millisecond of CPU and ten of waiting for the table, with a GB of memory.
        "Lambda: GB-seconds": pytest.approx(8_640_000 * 0.011 * 0.0000133334),
        "DynamoDB: writes": pytest.approx(17.28 * 0.625),
        "DynamoDB: storage": pytest.approx(8_640_000 / 1024**2 * 2 / (365 / 12) * 0.25),
        "DynamoDB: point-in-time recovery": pytest.approx(8_640_000 / 1024**2 * 2 / (365 / 12) * 0.20),
        "CloudWatch: logs taken in": pytest.approx(8_640_000 / 1024**2 * 0.50),
        "CloudWatch: logs kept": 0,
        "X-Ray: traces": pytest.approx((0.0864 + 0.05 * 8.64) * 5),
    }


def test_the_wait_for_aries_counts() -> None:
    made_up = Flood("made-up codes", {"callback": 1}, {"callback": 2}, asks_aries=True)
    assert dollars(made_up)["Lambda: GB-seconds"] == pytest.approx(86_400 * 0.221 * 0.0000133334)
    unknown = Flood("without a cookie", {"callback": 1}, {"callback": 0})
    assert dollars(unknown)["DynamoDB: writes"] == 0
    assert dollars(unknown)["Lambda: GB-seconds"] == pytest.approx(86_400 * 0.001 * 0.0000133334)


def test_no_flood_calls_secrets_manager_or_kms() -> None:
    for flood in floods():
        assert {it.service for it in flood.items(STACK, PLAIN)} == {
            "API Gateway",
            "Lambda",
            "DynamoDB",
            "CloudWatch",
            "X-Ray",
        }


def test_the_page_says_what_is_reckoned() -> None:
    assert table() in PAGE
    assert deletions() in " ".join(PAGE.split())


def test_the_page_says_the_limits_of_the_template() -> None:
    rate = limits()
    told = " ".join(PAGE.split("\n### API Gateway's throttling\n")[1].split("\n### ")[0].split())
    assert f"{rate['GET /oauth2/authorize']} a second for the beginnings of sign-ins" in told
    assert f"{rate['GET /oauth2/callback']} for callbacks" in told
    tokens = {rate[route] for route in ("ANY /oauth2/token", "ANY /v1/oauth2/token", "ANY /oauth2/refresh")}
    assert [f"{each} for each of the three token routes" in told for each in tokens] == [True]
    assert f"{rate['ANY /oauth2/revoke']} for sign-outs" in told


@pytest.mark.parametrize("name", ["security.md", "performance.md"])
def test_every_file_and_heading_that_a_page_links_to_exists(name: str) -> None:
    page = ROOT / "docs" / name
    links = re.findall(r"\]\(((?!https?:)[^)#]*)(?:#([^)]+))?\)", page.read_text())
    assert links
    for path, anchor in links:
        file = page.parent / path if path else page
        assert file.exists(), path
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, (path, anchor)
