"""The prices and quotas of AWS in ``prices.json``, each with its source and date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("prices.json")


@dataclass(frozen=True)
class Price:
    """``price`` US dollars a month for ``per`` units. ``source`` is AWS' page; ``seen_at`` is the page read instead."""

    price: float
    per: int
    unit: str
    source: str
    seen_at: str
    how_read: str
    date: str

    def of(self, count: float) -> float:
        """Return the cost of ``count`` units in US dollars."""
        return self.price * count / self.per

    def __str__(self) -> str:
        # A GB-second has a price of ten decimal places. Trailing zeros go.
        number = f"{self.price:.10f}".rstrip("0")
        return f"{number}{'0' * max(0, 2 - len(number.partition('.')[2]))}" + (
            f" / {self.per:,}" if self.per > 1 else ""
        )


@dataclass(frozen=True)
class Quota:
    """A limit of AWS for an account in a region."""

    limit: int
    unit: str
    what: str
    adjustable: bool
    source: str
    how_read: str
    date: str


@dataclass(frozen=True)
class PriceList:
    """All prices and quotas of ``date``."""

    region: str
    date: str
    prices: Mapping[str, Price]
    quotas: Mapping[str, Quota]

    @classmethod
    def load(cls, file: Path = FILE) -> PriceList:
        """Read the file. Raises TypeError if a price lacks a member, such as its source or date."""
        told: dict[str, Any] = json.loads(file.read_text())
        return cls(
            told["region"],
            told["date"],
            {name: Price(**price) for name, price in told["prices"].items()},
            {name: Quota(**quota) for name, quota in told["quotas"].items()},
        )
