"""``make cost USERS=50000 REFRESHES=8``: the cost of a month at AWS, from the price list and the measured times.

If USERS is missing, the report shows the stack with no users, and three sizes beside each other.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.bench import results
from tests.bench.cost_limits import Bound, bounds, most_refreshes_a_day
from tests.bench.cost_prices import Price, PriceList, Quota
from tests.bench.cost_usage import Assumed, BadInput, Item, Load, Month, Stack
from tests.support.transformed import FUNCTIONS, of_type, properties

SIZES = (1_000, 50_000, 500_000)


def stack() -> Stack:
    """Count the parts of the template that cost money without any user."""
    alarms = [alarm["Properties"] for alarm in of_type("AWS::CloudWatch::Alarm").values() if "Condition" not in alarm]
    return Stack(
        # AWS bills an alarm on an expression for each metric in the expression.
        alarm_metrics=sum(sum("MetricStat" in it for it in alarm.get("Metrics", [])) or 1 for alarm in alarms),
        dashboards=len(of_type("AWS::CloudWatch::Dashboard")),
        keys=len(of_type("AWS::KMS::Key")),
        memory_mb={name: properties(f"{name}Function")["MemorySize"] for name in FUNCTIONS},
    )


def assumed() -> Assumed:
    """Return the assumptions. CPU times from ``make bench`` replace the usual ones."""
    measured, found = results.read(), Assumed()
    if "warm" in measured:
        warm = {it.name: it.ours.median for it in measured["warm"].comparisons}
        found = replace(found, cpu_ms={name: warm[name] for name in found.cpu_ms})
    if "cold" in measured:
        # The token function gets the most calls.
        (both,) = (it.ours.median for it in measured["cold"].comparisons if it.name == "token, and its floor")
        (init,) = (it.median for it in measured["cold"].figures if it.name == "token, until it is started")
        found = replace(found, init_ms=init, first_ms=both - init)
    return found


def _not_measured() -> str:
    missing = [part for part in ("warm", "cold") if part not in results.read()]
    return f" Not measured here (make bench): {', '.join(missing)}; usual times stand in." if missing else ""


def cost_of(items: Iterable[Item], prices: PriceList) -> float:
    """Return the cost of all these items in US dollars."""
    return sum(prices.prices[item.price].of(item.count) for item in items)


def bill(month: Month, prices: PriceList) -> str:
    """List every item: its count, its price, its total, its cost per user and its share."""
    items = month.items()
    total = cost_of(items, prices)
    rows = [["", "a month", "price", "total", "per user", "share"]]
    for item in items:
        # Most items are zero if there are no users.
        if item.count or month.load.users:
            price = prices.prices[item.price]
            shares = _shares(price.of(item.count), month, total)
            rows.append([f"{item.service}: {item.name}", _count(item.count), f"{price}{_doubt(price)}", *shares])
    rows.append(["**all**", "", "", *_shares(total, month, total)])
    return _table(rows)


def _shares(cost: float, month: Month, total: float) -> list[str]:
    each = _dollars(cost / month.load.users) if month.load.users else ""
    return [_dollars(cost), each, f"{cost / total:.1%}"]


def limits(month: Month, prices: PriceList) -> str:
    """List the quotas, and the number of users at which each one binds."""
    rows = [["quota (AWS raises none of them)", "allows", "needed", "at the opening", "enough for"]]
    for bound in bounds(month, prices.quotas):
        rows.append(
            [
                f"{bound.quota.what}{_doubt(bound.quota)}",
                f"{bound.quota.limit:,} {bound.quota.unit}",
                _count(bound.mean),
                _count(bound.peak) + (" **too much**" if bound.is_exceeded else ""),
                _users(bound),
            ]
        )
    return _table(rows)


def _users(bound: Bound) -> str:
    return f"{bound.most_users:,.0f} users" if bound.most_users < math.inf else "any number of users"


def beyond(month: Month, prices: PriceList) -> str:
    """Describe the cost of the design that seals tokens in the row."""
    here, there = (cost_of(it.items(), prices) for it in (month, replace(month, sealed=True)))
    refreshes = most_refreshes_a_day(month, prices.quotas["secret_updates"])
    enough = "any number of" if refreshes == math.inf else _count(refreshes)
    return (
        f"The load has {month.load.users:,} users and an opening of {month.load.peak:g} times the mean. For each user,"
        f" the writes of Secrets Manager are enough for {enough} refreshes a day. Beyond that, refreshes go on: after"
        " four seconds of trying, KMS seals the tokens into the row. Sign-ins are put off. AWS counts the quotas for an"
        " account in a region, and a second stack needs another account or region. Another design, not built, always"
        " keeps the tokens in the row, sealed by KMS. None of these quotas limits it. It would cost"
        f" {_dollars(there)} dollars a month instead of {_dollars(here)}."
    )


def three_sizes(months: Sequence[Month], prices: PriceList) -> str:
    """Show the bill by service, with the sizes beside each other."""
    costs = [_by_service(month, prices) for month in months]
    totals = [sum(cost.values()) for cost in costs]
    rows = [["dollars a month", *(f"{month.load.users:,} users" for month in months)]]
    rows += [[service, *(_dollars(cost[service]) for cost in costs)] for service in costs[0]]
    rows.append(["**all**", *(f"**{_dollars(total)}**" for total in totals)])
    users = [month.load.users for month in months]
    rows.append(["per user", *(_dollars(total / each) for total, each in zip(totals, users, strict=True))])
    sealed = (cost_of(replace(month, sealed=True).items(), prices) for month in months)
    rows.append(["tokens sealed in the row instead (not built)", *map(_dollars, sealed)])
    held = [bounds(month, prices.quotas) for month in months]
    for of_one in zip(*held, strict=True):
        if any(bound.is_exceeded for bound in of_one):
            quota = of_one[0].quota
            name = f"{quota.what}, {quota.unit} at the opening (at most {quota.limit:,})"
            rows.append([name, *(_count(bound.peak) + (" **too much**" * bound.is_exceeded) for bound in of_one)])
    return _table(rows)


def _by_service(month: Month, prices: PriceList) -> Mapping[str, float]:
    total: dict[str, float] = {}
    for item in month.items():
        total[item.service] = total.get(item.service, 0) + cost_of([item], prices)
    return total


def report(load: Load | None) -> str:
    """Return the whole report for this load, or for three sizes if there is no load."""
    prices, what_stands, usual = PriceList.load(), stack(), assumed()
    head = (
        f"Prices of {prices.region} as of {prices.date}, in dollars, without free tiers and taxes. A (?) marks a price"
        f" to check first: see tests/bench/prices.json.{_not_measured()}"
    )
    if load is None:
        nobody = Month(Load(0), what_stands, usual)
        months = [Month(Load(users), what_stands, usual) for users in SIZES]
        return "\n\n".join(
            [
                head,
                "The stack with no users:",
                bill(nobody, prices),
                _said(months[0].load),
                three_sizes(months, prices),
            ]
        )
    month = Month(load, what_stands, usual)
    parts = [f"{load.users:,} users. {_said(load)} {head}", bill(month, prices), limits(month, prices)]
    return "\n\n".join([*parts, beyond(month, prices)])


def _said(load: Load) -> str:
    return (
        f"Refreshes of each user a day: {load.refreshes_a_day:g}. Sign-ins of each user a month:"
        f" {load.sign_ins_a_month:g}. At the opening, {load.peak:g} times the mean arrives."
    )


def _doubt(read: Price | Quota) -> str:
    return " (?)" if read.how_read == "memory" else ""


def _dollars(amount: float) -> str:
    if amount >= 100 or amount == 0:
        return f"{amount:,.0f}"
    return f"{amount:.2f}" if amount >= 0.1 else f"{amount:.2g}" if amount >= 0.0001 else "< 0.0001"


def _count(count: float) -> str:
    return f"{count:,.0f}" if count >= 100 or count == int(count) else f"{count:.3g}"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *body])


def main(arguments: Sequence[str]) -> None:
    """Print the report for the options on the command line."""
    # SAM's transform warns about a feature list. The list exists inside AWS alone.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="make cost", description="What a month costs at AWS.")
    parser.add_argument("--users", type=_whole, help="sessions alive at the same time (USERS)")
    parser.add_argument("--refreshes", type=_number, help="refreshes of each user a day; 8 (REFRESHES)")
    parser.add_argument("--sign-ins", type=_number, help="sign-ins of each user a month; 1 (SIGNINS)")
    parser.add_argument(
        "--peak", type=_number, help="the load when the market opens, as a multiple of the mean; 10 (PEAK)"
    )
    asked = parser.parse_args(arguments)
    given: dict[str, Any] = {
        "refreshes_a_day": asked.refreshes,
        "sign_ins_a_month": asked.sign_ins,
        "peak": asked.peak,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if given and asked.users is None:
        parser.error("how many users? (USERS=50000)")
    try:
        load = None if asked.users is None else Load(asked.users, **given)
    except BadInput as error:
        parser.error(str(error))
    print(report(load))


def _whole(text: str) -> int:
    try:
        return int(text.replace(",", ""))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from error


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ""))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
