"""The calculator for the cost of a month, against sums made by hand, and its refusals of senseless input."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import cost, results
from tests.bench.cost_limits import bounds, most_refreshes_a_day
from tests.bench.cost_prices import FILE, Price, PriceList, Quota
from tests.bench.cost_usage import Assumed, BadInput, Load, Month, Stack
from tests.bench.figures import Comparison, Figure, Section
from tests.support.functions import ROOT

PRICES = PriceList.load()
STACK = Stack(
    alarm_metrics=10, dashboards=1, keys=1, memory_mb=dict.fromkeys(("Authorize", "Callback", "Token", "Cleanup"), 512)
)
# No refresh is repeated, no sign-in is abandoned, and Aries names each person at the sign-in.
PLAIN = Assumed(repeated=0, abandoned=0, named_later=0)
# A month has 365 / 12 days, so this is 365,000 refreshes and 2,000 sign-ins.
LOAD = Load(1_000, refreshes_a_day=12, sign_ins_a_month=2)


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "read", dict)


def counted(month: Month) -> dict[str, float]:
    return {f"{item.service}: {item.name}": item.count for item in month.items()}


def dollars(month: Month, name: str) -> float:
    return cost.cost_of([item for item in month.items() if f"{item.service}: {item.name}" == name], PRICES)


class TestByHand:
    """A change of a price in the file needs a change of its sum here. Each price is thus typed twice."""

    def test_a_stack_that_nobody_uses_costs_what_stands_there(self) -> None:
        # Ten metrics in alarms, the dashboard, the key, the Aries client secret and the key of the subjects.
        assert cost.cost_of(Month(Load(0), STACK, Assumed()).items(), PRICES) == pytest.approx(
            1.00 + 3.00 + 1.00 + 2 * 0.40
        )

    @pytest.mark.parametrize(
        ("name", "count", "total"),
        [
            # Discovery, authorize, callback and token for each sign-in, and the refreshes.
            ("API Gateway: requests", 4 * 2_000 + 365_000, 0.373),
            # A sign-in has one, two and one, and one of its person's item, and one in twenty has another of those; a
            # refresh has two. A row and a person's item are less than 1 KB.
            ("DynamoDB: writes", 5 * 2_000 + 2_000 / 20 + 2 * 365_000, 0.4625625),
            ("DynamoDB: writes of the index by_reference", 2_000, 0.00125),
            # The row at the redemption, the control item at every redemption and refresh, and the rows of twenty other
            # sessions of the person at one sign-in in twenty.
            ("DynamoDB: reads", 2_000 + 2_000 + 365_000 + 2_000, 0.046375),
            # A row of 950 bytes and a person's item of 1,010, each with 100 bytes of DynamoDB's own.
            ("DynamoDB: storage", 1_000 * (1_050 + 1_110) / 1024**3, 0.000502914),
            ("Secrets Manager: secrets of sessions", 1_000, 400.00),
            # Created, read and deleted once for each sign-in, read and written at each refresh.
            ("Secrets Manager: calls", 3 * 2_000 + 2 * 365_000, 3.68),
            # A new secret costs three, each read and write one; then five functions, 8,760 times five minutes.
            ("KMS: requests", 4 * 2_000 + 2 * 365_000 + 5 * 8_760, 2.3454),
            ("CloudWatch: metrics", 38, 11.40),
        ],
    )
    def test_a_thousand_users(self, name: str, count: float, total: float) -> None:
        month = Month(LOAD, STACK, PLAIN)
        assert counted(month)[name] == pytest.approx(count)
        assert dollars(month, name) == pytest.approx(total)

    def test_lambda_is_paid_for_memory_and_time(self) -> None:
        assumed = replace(
            PLAIN,
            cpu_ms=dict.fromkeys(PLAIN.cpu_ms, 10.0),
            full_core_mb=1_024,
            cold_share=0.02,
            init_ms=500,
            first_ms=35,
        )
        month = Month(replace(LOAD, sign_ins_a_month=0), STACK, assumed)
        # Half a core takes twice 10 ms; then four calls of 10 ms, one of 200 ms; 2 % of 500 ms and of twice 25 ms.
        assert month.milliseconds("refresh") == pytest.approx(20 + 40 + 200 + 11)
        assert counted(month)["Lambda: GB-seconds"] == pytest.approx(365_000 * 0.271 * 0.5)
        assert dollars(month, "Lambda: GB-seconds") == pytest.approx(365_000 * 0.271 * 0.5 * 0.0000133334)

    def test_a_sign_in_waits_for_both_endpoints_of_aries(self) -> None:
        assumed = replace(PLAIN, cpu_ms=dict.fromkeys(PLAIN.cpu_ms, 10.0), full_core_mb=512, cold_share=0)
        month = Month(LOAD, STACK, assumed)
        # The code at the callback with three calls of AWS; the person at the redemption with four.
        assert month.milliseconds("callback") == pytest.approx(10 + 200 + 3 * 10)
        assert month.milliseconds("redeem with its person") == pytest.approx(10 + 200 + 4 * 10)

    def test_a_sign_in_whose_scope_names_nobody_costs_no_write_no_wait_and_no_storage_for_a_person(self) -> None:
        month = Month(LOAD, STACK, replace(PLAIN, named=0, named_later=1))
        assert counted(month)["DynamoDB: writes"] == pytest.approx(4 * 2_000 + 2 * 365_000)
        assert counted(month)["DynamoDB: reads"] == pytest.approx(2_000 + 2_000 + 365_000)
        assert counted(month)["DynamoDB: storage"] == pytest.approx(1_000 * 1_050 / 1024**3)
        assert month.times()["redeem with its person"] == 0
        assert month.milliseconds("redeem") < month.milliseconds("redeem with its person") - 200

    def test_a_person_who_becomes_known_later_costs_two_writes_and_one_wait_after_a_refresh(self) -> None:
        at_once, later = (Month(LOAD, STACK, replace(PLAIN, named_later=share)) for share in (0, 0.5))
        assert counted(later)["DynamoDB: writes"] - counted(at_once)["DynamoDB: writes"] == pytest.approx(2 * 1_000)
        # The question takes 200 ms and each of the two writes 10 ms, of half a gigabyte.
        more = counted(later)["Lambda: GB-seconds"] - counted(at_once)["Lambda: GB-seconds"]
        assert more == pytest.approx(1_000 * 0.220 * 0.5)
        assert counted(later)["API Gateway: requests"] == counted(at_once)["API Gateway: requests"]
        in_row = [Month(LOAD, STACK, replace(PLAIN, named_later=share), "row") for share in (0, 0.5)]
        once, more_in_row = (counted(month)["DynamoDB: writes"] for month in in_row)
        # The row with sealed tokens takes four units, the person's item one.
        assert more_in_row - once == pytest.approx(5 * 1_000)

    def test_a_person_of_more_than_a_kilobyte_is_written_at_twice_the_price(self) -> None:
        month = Month(LOAD, STACK, replace(PLAIN, person_bytes=1_025))
        assert counted(month)["DynamoDB: writes"] == pytest.approx(6 * 2_000 + 2 * 2_000 / 20 + 2 * 365_000)

    def test_more_than_a_core_is_no_faster(self) -> None:
        big = replace(STACK, memory_mb=dict.fromkeys(STACK.memory_mb, 4_096))
        core = replace(STACK, memory_mb=dict.fromkeys(STACK.memory_mb, 1_769))
        assert Month(LOAD, big, PLAIN).milliseconds("refresh") == Month(LOAD, core, PLAIN).milliseconds("refresh")

    def test_logs_are_paid_for_when_they_come_and_while_they_are_kept(self) -> None:
        assumed = replace(PLAIN, log_bytes=dict.fromkeys(PLAIN.log_bytes, 700), platform_log_bytes=300, log_months=2)
        month = Month(replace(LOAD, sign_ins_a_month=0), STACK, assumed)
        gigabytes = 365_000 * 1_000 / 1024**3
        assert dollars(month, "CloudWatch: logs taken in") == pytest.approx(gigabytes * 0.50)
        assert dollars(month, "CloudWatch: logs kept") == pytest.approx(gigabytes * 2 * 0.03)

    def test_a_trace_is_recorded_once_a_second_and_then_of_one_request_in_twenty(self) -> None:
        seldom = Month(Load(1, refreshes_a_day=1, sign_ins_a_month=0), STACK, PLAIN)
        assert counted(seldom)["X-Ray: traces"] == pytest.approx(365 / 12, rel=1e-3)
        busy = Month(Load(8_640_000, refreshes_a_day=1, sign_ins_a_month=0), STACK, PLAIN)
        assert counted(busy)["X-Ray: traces"] == pytest.approx(365 / 12 * 86_400 * (1 + 0.05 * 99))

    def test_abandoned_and_repeated_work_is_paid_for_too(self) -> None:
        month = Month(LOAD, STACK, replace(PLAIN, repeated=0.1, abandoned=0.5))
        assert counted(month)["DynamoDB: writes"] == pytest.approx(
            5 * 2_000 + 2_000 / 20 + 1_000 + 2 * 365_000 + 36_500
        )
        # An abandoned sign-in has no secret to delete.
        assert counted(month)["Secrets Manager: calls"] == pytest.approx(3 * 2_000 + 2 * 365_000 + 36_500)

    def test_a_row_of_more_than_a_kilobyte_is_written_at_twice_the_price(self) -> None:
        assert counted(Month(LOAD, STACK, replace(PLAIN, row_bytes=1_025)))["DynamoDB: writes"] == pytest.approx(
            2 * 738_000 + 2_000 + 2_000 / 20
        )

    def test_tokens_in_the_row_cost_writes_and_no_secrets(self) -> None:
        month = Month(LOAD, STACK, replace(PLAIN, sealed_row_bytes=3_950), "row")
        # 3,950 bytes: four units for all but the insertion and the claim of a row, and the person's item.
        of_sign_in = 1 + 1 + 4 + 4 + 1 + 1 / 20
        assert counted(month)["DynamoDB: writes"] == pytest.approx(2_000 * of_sign_in + 365_000 * 8)
        # One unit for the row at the redemption, for each reading of the control item, and for each other row.
        assert counted(month)["DynamoDB: reads"] == pytest.approx(2_000 + 2_000 + 365_000 + 2_000)
        assert counted(month)["DynamoDB: storage"] == pytest.approx(1_000 * (4_050 + 1_110) / 1024**3)
        assert counted(month)["DynamoDB: point-in-time recovery"] == pytest.approx(1_000 * (4_050 + 1_110) / 1024**3)
        # Sealed at the callback and opened at the redemption; opened and sealed at each refresh.
        assert counted(month)["KMS: requests"] == pytest.approx(2 * 2_000 + 2 * 365_000 + 5 * 8_760)
        # No row that TTL removes has a secret, so nobody calls cleanup.
        assert counted(month)["Lambda: invocations"] == counted(month)["API Gateway: requests"]
        assert {name for name in counted(month) if name.startswith("Secrets Manager")} == {
            "Secrets Manager: the Aries client secret and the key of the subjects"
        }

    def test_a_replay_of_tokens_in_the_row_costs_a_whole_refused_write(self) -> None:
        assumed = replace(PLAIN, repeated=0.1)
        once, repeated = (counted(Month(LOAD, STACK, it, "row")) for it in (PLAIN, assumed))
        assert repeated["DynamoDB: writes"] - once["DynamoDB: writes"] == pytest.approx(36_500 * 4)
        assert repeated["KMS: requests"] - once["KMS: requests"] == pytest.approx(36_500)

    def test_a_row_of_more_than_four_kilobytes_is_read_at_twice_the_price(self) -> None:
        month = Month(LOAD, STACK, replace(PLAIN, sealed_row_bytes=4_097), "row")
        assert counted(month)["DynamoDB: reads"] == pytest.approx(2 * 2_000 + 2_000 + 365_000 + 2_000)
        of_sign_in = 1 + 1 + 5 + 5 + 1 + 1 / 20
        assert counted(month)["DynamoDB: writes"] == pytest.approx(2_000 * of_sign_in + 365_000 * 10)


class TestBorders:
    @pytest.mark.parametrize(
        ("sealed", "units", "room", "is_near"), [(3_450, 4, 647, False), (3_900, 4, 197, True), (3_072, 3, 1, True)]
    )
    def test_a_row_near_the_border_of_a_unit_has_a_warning(
        self, sealed: int, units: int, room: int, is_near: bool
    ) -> None:
        month = Month(LOAD, STACK, replace(PLAIN, sealed_row_bytes=sealed), "row")
        told = cost.borders({"row": month}, PRICES)
        assert f"a row of {sealed:,} bytes takes {units} write units of 1,024 bytes." in told
        assert f"If it has {room:,} bytes more," in told
        assert ("**Near the border:**" in told) is is_near
        assert ("each read of the row another one" in told) is (units == 4)

    def test_the_price_of_the_next_unit_is_told(self) -> None:
        # A sign-in writes a row with its tokens twice, and so does a refresh.
        extra = (2 * 2_000 + 2 * 365_000) * 0.625 / 1_000_000
        told = cost.borders({"row": Month(LOAD, STACK, replace(PLAIN, sealed_row_bytes=3_000), "row")}, PRICES)
        assert told.endswith(f"another unit: {extra:.2f} dollars a month for 1,000 users.")


class TestLimits:
    # 54,000 users with 8 refreshes a day make 5 refreshes a second, and 50 at ten times that.
    @pytest.mark.parametrize(("users", "is_exceeded"), [(54_000, False), (54_001, True)])
    def test_the_writes_of_secrets_manager_bind_at_the_opening(self, users: int, is_exceeded: bool) -> None:
        month = Month(Load(users, refreshes_a_day=8, peak=10), STACK, PLAIN)
        updates = bounds(month, PRICES.quotas)[0]
        assert updates.quota.what.startswith("PutSecretValue")
        assert updates.peak == pytest.approx(50, rel=1e-4)
        assert updates.most_users in (54_000, 53_999)
        assert (updates.peak > updates.quota.limit * (1 + 1e-9)) == is_exceeded
        assert most_refreshes_a_day(month, updates.quota) == pytest.approx(8, rel=1e-4)

    def test_a_region_has_room_for_half_a_million_secrets_of_which_one_is_the_client_secret(self) -> None:
        for users, is_exceeded in ((499_999, False), (500_000, True)):
            secrets = bounds(Month(Load(users), STACK, PLAIN), PRICES.quotas)[4]
            assert secrets.quota.what == "secrets"
            assert secrets.is_exceeded == is_exceeded

    def test_one_session_has_versions_for_a_hundred_refreshes_a_day(self) -> None:
        for refreshes, is_exceeded, most in ((100, False, math.inf), (101, True, 0)):
            versions = bounds(Month(Load(1, refreshes_a_day=refreshes), STACK, PLAIN), PRICES.quotas)[5]
            assert (versions.is_exceeded, versions.most_users) == (is_exceeded, most)

    def test_with_nobody_nothing_binds(self) -> None:
        month = Month(Load(0), STACK, PLAIN)
        assert not any(bound.is_exceeded for bound in bounds(month, PRICES.quotas))
        assert most_refreshes_a_day(month, PRICES.quotas["secret_updates"]) == math.inf

    def test_tokens_in_the_row_are_limited_by_quotas_that_aws_raises(self) -> None:
        requests, writes = bounds(Month(Load(54_000), STACK, PLAIN, "row"), PRICES.quotas)
        assert requests.quota.adjustable
        assert writes.quota.adjustable
        # 5 refreshes a second ask KMS twice each and write four units twice each; at the opening, ten times that.
        assert requests.peak == pytest.approx(100, rel=0.02)
        assert writes.peak == pytest.approx(400, rel=0.02)
        assert not any(bound.is_exceeded for bound in (requests, writes))


class TestPrices:
    @pytest.mark.parametrize("name", [*PRICES.prices, *PRICES.quotas])
    def test_each_says_where_it_is_from_and_when_it_was_read(self, name: str) -> None:
        read: Price | Quota = PRICES.prices[name] if name in PRICES.prices else PRICES.quotas[name]
        assert read.source.startswith(("https://aws.amazon.com/", "https://docs.aws.amazon.com/"))
        assert dt.date(2025, 1, 1) <= dt.date.fromisoformat(read.date) <= dt.date.fromisoformat(PRICES.date)
        assert read.how_read in ("published", "repeated", "memory")
        assert getattr(read, "seen_at", "").startswith("https://") == (read.how_read == "repeated")

    def test_all_of_them_are_used_but_what_is_free_to_lambda_and_what_is_off_by_default(self) -> None:
        used = {item.price for item in Month(LOAD, STACK, PLAIN).items()}
        assert PRICES.prices.keys() - used == {"dynamodb_stream_read", "event"}

    def test_the_page_for_deployers_tells_the_price_of_events(self) -> None:
        price = PRICES.prices["event"]
        assert price.per == 1_000_000
        told = f"A million events cost {price.price:.2f} dollars."
        assert told in " ".join((ROOT / "docs" / "deploy.md").read_text().split())

    @pytest.mark.parametrize("missing", ["source", "date", "unit"])
    def test_a_price_without_one_of_these_is_refused(self, tmp_path: Path, missing: str) -> None:
        told = json.loads(FILE.read_text())
        del told["prices"]["secret"][missing]
        file = tmp_path / "prices.json"
        file.write_text(json.dumps(told))
        with pytest.raises(TypeError, match=missing):
            PriceList.load(file)


class TestCommand:
    def test_it_prints_every_item_and_where_the_limits_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        cost.main(["--users", "60,000", "--refreshes", "8"])
        printed = capsys.readouterr().out
        assert "| Secrets Manager: secrets of sessions | 60,000 | 0.40 | 24,000 | 0.40 |" in printed
        assert "**too much**" in printed
        assert "enough for 7.2 refreshes a day" in printed

    def test_the_documents_say_what_the_stack_costs(self, capsys: pytest.CaptureFixture[str]) -> None:
        cost.main([])
        printed = capsys.readouterr().out
        (total,) = re.findall(r"\| \*\*all\*\* \|  \|  \| ([0-9.]+) \|  \| 100.0% \|", printed)
        (metrics,) = re.findall(r"metrics that alarms watch \| (\d+) ", printed)
        told = f"costs {total} dollars a month before the first user ({metrics} metrics in "
        assert told in results.PAGE.read_text()
        pages = " ".join(" ".join(page.read_text().split()) for page in (ROOT / "docs").glob("*.md"))
        assert set(re.findall(r"([0-9.]+) dollars a month before the first user", pages)) == {total}

    def test_without_users_it_prints_four_sizes_with_both_stores(self, capsys: pytest.CaptureFixture[str]) -> None:
        cost.main([])
        printed = capsys.readouterr().out
        (head,) = (line for line in printed.splitlines() if line.startswith("| dollars a month |"))
        assert head.split(" | ")[1:3] == ["1,000 users, `secrets`", "1,000 users, `row`"]
        assert head.split(" | ")[-2:] == ["1,000,000 users, `secrets`", "1,000,000 users, `row` |"]
        assert "The stack with no users:" in printed
        assert "**Near the border:** `secrets`: a row of 950 bytes takes 1 write unit of" in printed

    def test_with_users_it_prints_the_bill_and_the_quotas_of_both_stores(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cost.main(["--users", "1,000,000"])
        printed = capsys.readouterr().out
        of_secrets, of_row = printed.split("With the tokens sealed in the row")
        assert "| Secrets Manager: secrets of sessions | 1,000,000 |" in of_secrets
        assert "| secrets (?) | 500,000 in a region | 1,000,001 | 1,000,001 **too much** |" in of_secrets
        assert "secrets of sessions" not in of_row
        assert "| quota (AWS raises them if asked) |" in of_row
        assert "**too much**" not in of_row

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--users", "many"], "must be a whole number, not 'many'"),
            (["--users", "1.5"], "must be a whole number"),
            (["--users", "-1"], "users must be from 0"),
            (["--users", "2000000000"], "users must be from 0 to 1,000,000,000"),
            (["--users", "10", "--refreshes", "often"], "must be a number, not 'often'"),
            (["--users", "10", "--refreshes", "nan"], "refreshes a day must be from 0 to 1,440"),
            (["--users", "10", "--refreshes", "1441"], "refreshes a day must be from 0 to 1,440"),
            (["--users", "10", "--sign-ins", "-2"], "sign ins a month must be from 0"),
            (["--users", "10", "--peak", "0.5"], "peak must be from 1"),
            (["--refreshes", "8"], "how many users"),
            (["--users", ""], "must be a whole number, not ''"),
        ],
    )
    def test_nonsense_gets_a_clear_error(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            cost.main(arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err

    def test_a_load_that_makes_no_sense_is_none(self) -> None:
        with pytest.raises(BadInput):
            Load(10, refreshes_a_day=math.inf)


class TestMeasured:
    def test_the_figures_of_the_benchmark_replace_the_assumed_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        other = Figure("beside it", "ms", [1.0])
        warm = {name: 2 * milliseconds for name, milliseconds in Assumed().cpu_ms.items()}
        compared = [
            Comparison(name, Figure("ours", "ms", [it]), other) for name, it in (warm | {"revoke": 9.0}).items()
        ]
        both = [Comparison("token, and its floor", Figure("token", "ms", [300.0]), other)]
        sections = {
            "warm": Section("", "", compared),
            "cold": Section("", "", both, figures=[Figure("token, until it is started", "ms", [270.0])]),
        }
        monkeypatch.setattr(results, "read", lambda: sections)
        found = cost.assumed()
        assert found == replace(Assumed(), cpu_ms=warm, init_ms=270.0, first_ms=30.0)
        assert "Not measured" not in cost.report(LOAD)

    def test_missing_measurements_are_named(self) -> None:
        assert "Not measured here (make bench): warm, cold;" in cost.report(LOAD)

    def test_the_usual_value_holds_if_nothing_was_measured(self) -> None:
        assert cost.assumed() == Assumed()

    def test_the_template_says_what_stands_there(self) -> None:
        found = cost.stack()
        assert (found.dashboards, found.keys) == (1, 1)
        # Some twenty alarms. An alarm on an expression counts once for each metric in it.
        assert found.alarm_metrics > 30
        assert found.memory_mb.keys() >= STACK.memory_mb.keys()
