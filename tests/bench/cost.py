"""``make cost USERS=50000 REFRESHES=8``: what a month costs at AWS, from the price list and from what was measured.

Without USERS: the stack with nobody on it, and three sizes beside each other.
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
    """What the template deploys."""
    alarms = [alarm["Properties"] for alarm in of_type("AWS::CloudWatch::Alarm").values() if "Condition" not in alarm]
    return Stack(
        # An alarm on an expression costs by each metric in it.
        alarm_metrics=sum(sum("MetricStat" in it for it in alarm.get("Metrics", [])) or 1 for alarm in alarms),
        dashboards=len(of_type("AWS::CloudWatch::Dashboard")),
        keys=len(of_type("AWS::KMS::Key")),
        memory_mb={name: properties(f"{name}Function")["MemorySize"] for name in FUNCTIONS},
    )


def assumed() -> Assumed:
    """What is assumed, with the CPU time that ``make bench`` has measured, where it has."""
    measured, found = results.read(), Assumed()
    if "warm" in measured:
        warm = {it.name: it.ours.median for it in measured["warm"].comparisons}
        found = replace(found, cpu_ms={name: warm[name] for name in found.cpu_ms})
    if "cold" in measured:
        # Of the function that is called most.
        (both,) = (it.ours.median for it in measured["cold"].comparisons if it.name == "token, and its floor")
        (init,) = (it.median for it in measured["cold"].figures if it.name == "token, until it is started")
        found = replace(found, init_ms=init, first_ms=both - init)
    return found


def _not_measured() -> str:
    missing = [part for part in ("warm", "cold") if part not in results.read()]
    return f" Not measured here (make bench): {', '.join(missing)}; usual times are taken." if missing else ""


def cost_of(items: Iterable[Item], prices: PriceList) -> float:
    """What all of these items cost."""
    return sum(prices.prices[item.price].of(item.count) for item in items)


def bill(month: Month, prices: PriceList) -> str:
    """Every item: how many, what one costs, what all cost, for each user, and of the whole."""
    items = month.items()
    total = cost_of(items, prices)
    rows = [["", "a month", "price", "total", "per user", "share"]]
    for item in items:
        # With nobody there, most of it is nothing.
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
    """What binds, and when."""
    rows = [["quota (none can be raised)", "allows", "needed", "at the opening", "enough for"]]
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
    """What the other design would cost, in words."""
    here, there = (cost_of(it.items(), prices) for it in (month, replace(month, sealed=True)))
    refreshes = most_refreshes_a_day(month, prices.quotas["secret_updates"])
    enough = "any number of" if refreshes == math.inf else _count(refreshes)
    return (
        f"With {month.load.users:,} users and an opening of {month.load.peak:g} times the mean, the writes of Secrets"
        f" Manager are enough for {enough} refreshes a day of each. Beyond it refreshes go on, sealed by KMS into the"
        " row after four seconds of trying, and sign-ins are put off. The quotas are an account's in one region: a"
        " second stack needs another account or region. The other design keeps the tokens, sealed by KMS, in the row"
        f" always. It has none of these quotas and is not built. It would cost {_dollars(there)} dollars a month"
        f" instead of {_dollars(here)}."
    )


def three_sizes(months: Sequence[Month], prices: PriceList) -> str:
    """The bill by service, size beside size."""
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
            name = f"{quota.what}: needed at the opening, {quota.unit} (at most {quota.limit:,})"
            rows.append([name, *(_count(bound.peak) + (" **too much**" * bound.is_exceeded) for bound in of_one)])
    return _table(rows)


def _by_service(month: Month, prices: PriceList) -> Mapping[str, float]:
    total: dict[str, float] = {}
    for item in month.items():
        total[item.service] = total.get(item.service, 0) + cost_of([item], prices)
    return total


def report(load: Load | None) -> str:
    """All that is printed: for this load, or for three sizes."""
    prices, what_stands, usual = PriceList.load(), stack(), assumed()
    head = (
        f"Prices of {prices.region} as of {prices.date}, in dollars, without free tiers and taxes; where (?) stands,"
        f" check tests/bench/prices.json first.{_not_measured()}"
    )
    if load is None:
        nobody = Month(Load(0), what_stands, usual)
        months = [Month(Load(users), what_stands, usual) for users in SIZES]
        return "\n\n".join(
            [
                head,
                "With nobody on it:",
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
        f"Each user refreshes {load.refreshes_a_day:g} times a day and signs in {load.sign_ins_a_month:g} times a"
        f" month; at the opening {load.peak:g} times the mean arrives."
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
    """Print the report."""
    # SAM's transform misses a feature list of its own that nobody has outside AWS.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="make cost", description="What a month costs at AWS.")
    parser.add_argument("--users", type=_whole, help="sessions that live at the same time (USERS)")
    parser.add_argument("--refreshes", type=_number, help="of each, a day; 8 (REFRESHES)")
    parser.add_argument("--sign-ins", type=_number, help="of each, a month; 1 (SIGNINS)")
    parser.add_argument("--peak", type=_number, help="times the mean, when the market opens; 10 (PEAK)")
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
