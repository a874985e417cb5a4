"""``make cost USERS=50000 REFRESHES=8``: the cost of a month at AWS, from the price list and the measured times.

If USERS is missing, the report shows the stack with no users, and four sizes beside each other. Every report has both
stores of tokens: a secret for each session (``secrets``), and tokens sealed in the session's row (``row``).

``python -m tests.bench.cost --write`` puts the table of the four sizes into docs/performance.md.
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
from tests.bench.budget import BUDGETS, Store
from tests.bench.cost_limits import Bound, bounds, most_refreshes_a_day
from tests.bench.cost_prices import Price, PriceList, Quota
from tests.bench.cost_usage import (
    READ_UNIT,
    WRITE_UNIT,
    Assumed,
    BadInput,
    Item,
    Load,
    Month,
    Stack,
    backend_items,
    units,
)
from tests.support.transformed import FUNCTIONS, of_type, properties

SIZES = (1_000, 50_000, 500_000, 1_000_000)
# Users. The documents say what one session costs at this size.
_USUAL_SIZE = 50_000
# Share of a row's size. Tokens, scopes and URIs of other lengths change a row by as much.
_NEAR = 0.1
_TITLES: Mapping[Store, str] = {
    "secrets": "With a secret for each session (`TokenStore` is `secrets`):",
    "row": "With the tokens sealed in the row (`TokenStore` is `row`):",
}


def stack() -> Stack:
    """Count the parts of the template that cost money without any user."""
    found = of_type("AWS::CloudWatch::Alarm", backend="false").values()
    alarms = [alarm["Properties"] for alarm in found if "Condition" not in alarm]
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
        found = replace(found, cpu_ms={name: warm.get(name, usual) for name, usual in found.cpu_ms.items()})
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
    found = bounds(month, prices.quotas)
    raised = "AWS raises them if asked" if all(it.quota.adjustable for it in found) else "AWS raises none of them"
    rows = [[f"quota ({raised})", "allows", "needed", "at the opening", "enough for"]]
    for bound in found:
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
    """Describe the limit of refreshes with secrets."""
    refreshes = most_refreshes_a_day(month, prices.quotas["secret_updates"])
    enough = "any number of" if refreshes == math.inf else _count(refreshes)
    return (
        f"The load has {month.load.users:,} users and an opening of {month.load.peak:g} times the mean. For each user,"
        f" the writes of Secrets Manager are enough for {enough} refreshes a day. Beyond that, refreshes go on: after"
        " four seconds of trying, KMS seals the tokens into the row. Sign-ins are put off. AWS counts the quotas for an"
        " account in a region, and a second stack needs another account or region."
    )


def borders(of_stores: Mapping[Store, Month], prices: PriceList) -> str:
    """Describe the size of each store's row, with a warning if it is near the border of a unit of DynamoDB."""
    return "\n".join(_border(month, prices) for month in of_stores.values())


def _border(month: Month, prices: PriceList) -> str:
    size = month.row_bytes
    count = units(size, WRITE_UNIT)
    room = count * WRITE_UNIT - size
    name = "row_bytes" if month.store == "secrets" else "sealed_row_bytes"
    larger: dict[str, Any] = {name: size + room + 1}
    more = replace(month.assumed, **larger)
    extra = cost_of(replace(month, assumed=more).items(), prices) - cost_of(month.items(), prices)
    also_read = ", and each read of the row another one" if (size + room) % READ_UNIT == 0 else ""
    warning = "**Near the border:** " if room < _NEAR * size else ""
    return (
        f"- {warning}`{month.store}`: a row of {size:,} bytes takes {count} write unit{'s' * (count > 1)} of"
        f" {WRITE_UNIT:,} bytes. If it has {room + 1:,} bytes more, each write takes another unit{also_read}:"
        f" {_dollars(extra)} dollars a month for {month.load.users:,} users."
    )


def beside_each_other(months: Sequence[Month], prices: PriceList) -> str:
    """Show the bill by service, with sizes and stores beside each other."""
    costs = [_by_service(month, prices) for month in months]
    totals = [sum(cost.values()) for cost in costs]
    rows = [["dollars a month", *(f"{month.load.users:,} users, `{month.store}`" for month in months)]]
    rows += [[service, *(_dollars(cost[service]) for cost in costs)] for service in costs[0]]
    rows.append(["**all**", *(f"**{_dollars(total)}**" for total in totals)])
    users = [month.load.users for month in months]
    rows.append(["per user", *(_dollars(total / each) for total, each in zip(totals, users, strict=True))])
    held = [{bound.quota.what: bound for bound in bounds(month, prices.quotas)} for month in months]
    # Each quota once, in its order.
    for what, of_one in {what: bound for of_month in held for what, bound in of_month.items()}.items():
        of_all = [of_month.get(what) for of_month in held]
        if any(bound is not None and bound.is_exceeded for bound in of_all):
            name = f"{what}, {of_one.quota.unit} at the opening (at most {of_one.quota.limit:,})"
            rows.append([name, *(_needed(bound) for bound in of_all)])
    return _table(rows)


def _needed(bound: Bound | None) -> str:
    return "" if bound is None else _count(bound.peak) + " **too much**" * bound.is_exceeded


def sentences() -> list[str]:
    """Return the sentences of the documents about the cost of a session.

    Their numbers are round, so that the times of another measurement do not change them.
    """
    prices, what_stands, usual = PriceList.load(), stack(), assumed()

    def of(users: int, store: Store) -> float:
        return cost_of(Month(Load(users), what_stands, usual, store).items(), prices)

    def of_backends(store: Store) -> float:
        return cost_of(backend_items(1_000_000, what_stands.memory_mb["Backend"], usual, store), prices)

    def of_people() -> float:
        # No refresh and no other item of the bill depends on it.
        load = Load(1_000_000, refreshes_a_day=0)
        with_people, without = (
            cost_of(Month(load, what_stands, replace(usual, named=share)).items(), prices) for share in (1.0, 0.0)
        )
        return with_people - without

    secrets, row = (of(_USUAL_SIZE, store) / _USUAL_SIZE for store in BUDGETS)
    of_secret = f"{prices.prices['secret'].price:.2f} of that is the price of its secret"
    return [
        f"A session with a secret costs {secrets:.2f} dollars a month: {of_secret}.",
        f"A session in the row costs {row:.1g} dollars a month.",
        f"A million users cost some {_round(of(1_000_000, 'secrets'))} dollars a month with secrets, and some"
        f" {_round(of(1_000_000, 'row'))} with tokens in the row.",
        f"A million sign-ins cost some {of_people():.0f} dollars more if Aries says whose they are.",
        f"A million requests of backends cost some {of_backends('secrets'):.0f} dollars with secrets, and some"
        f" {of_backends('row'):.0f} with tokens in the row.",
    ]


def _round(amount: float) -> str:
    return f"{float(f'{amount:.2g}'):,.0f}"


def _by_service(month: Month, prices: PriceList) -> Mapping[str, float]:
    total: dict[str, float] = {}
    for item in month.items():
        total[item.service] = total.get(item.service, 0) + cost_of([item], prices)
    return total


def report(load: Load | None) -> str:
    """Return the whole report for this load, or for four sizes if there is no load."""
    prices, what_stands, usual = PriceList.load(), stack(), assumed()
    head = (
        f"Prices of {prices.region} as of {prices.date}, in dollars, without free tiers and taxes. A (?) marks a price"
        f" to check first: see tests/bench/prices.json.{_not_measured()}"
    )
    shown = load or Load(SIZES[-1])
    of_stores: dict[Store, Month] = {store: Month(shown, what_stands, usual, store) for store in BUDGETS}
    if load is None:
        nobody = Month(Load(0), what_stands, usual)
        return "\n\n".join(
            [
                head,
                "The stack with no users:",
                bill(nobody, prices),
                _said(shown),
                borders(of_stores, prices),
                table_of_sizes(),
                "\n".join(sentences()),
            ]
        )
    parts = [f"{load.users:,} users. {_said(load)} {head}"]
    for store, month in of_stores.items():
        parts += [_TITLES[store], bill(month, prices), limits(month, prices)]
    return "\n\n".join([*parts, beyond(of_stores["secrets"], prices), borders(of_stores, prices)])


def table_of_sizes() -> str:
    """Return the table of docs/performance.md: four sizes and both stores beside each other."""
    what_stands, usual = stack(), assumed()
    months = [Month(Load(users), what_stands, usual, store) for users in SIZES for store in BUDGETS]
    return beside_each_other(months, PriceList.load())


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
    """Print the report for the options on the command line, or write the table."""
    # SAM's transform warns about a feature list. The list exists inside AWS alone.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="make cost", description="What a month costs at AWS.")
    parser.add_argument("--users", type=_whole, help="sessions alive at the same time (USERS)")
    parser.add_argument("--refreshes", type=_number, help="refreshes of each user a day; 8 (REFRESHES)")
    parser.add_argument("--sign-ins", type=_number, help="sign-ins of each user a month; 1 (SIGNINS)")
    parser.add_argument(
        "--peak", type=_number, help="the load when the market opens, as a multiple of the mean; 10 (PEAK)"
    )
    parser.add_argument("--write", action="store_true", help="put the table of four sizes into docs/performance.md")
    asked = parser.parse_args(arguments)
    if asked.write:
        results.write_cost(table_of_sizes())
        return
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
