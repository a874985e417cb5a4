"""The look of a page, measured in the browser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, Response

# The colour of an element's text, and the nearest background that is not transparent.
_COLOURS = """(selector) => [...document.querySelectorAll(selector)].map((element) => {
  const behind = [];
  for (let at = element; at; at = at.parentElement) behind.push(getComputedStyle(at).backgroundColor);
  const background = behind.find((colour) => colour !== 'rgba(0, 0, 0, 0)');
  return [getComputedStyle(element).color, background];
})"""
_LISTEN = """window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));"""


@dataclass
class Complaints:
    """The browser's complaints about the pages it shows."""

    page: Page
    messages: list[str] = field(default_factory=list)

    @classmethod
    def about(cls, page: Page) -> Complaints:
        """Listen from now on."""
        complaints = cls(page)
        page.on("console", complaints._hear)
        page.on("pageerror", lambda error: complaints.messages.append(str(error)))
        page.add_init_script(_LISTEN)
        return complaints

    def _hear(self, message: ConsoleMessage) -> None:
        # The page's own error status is no complaint about the page.
        about_the_status = message.location["url"] == self.page.url and "responded with a status of" in message.text
        if not about_the_status:
            self.messages.append(message.text)

    def all(self) -> list[str]:
        """Return the console's messages and the violations of the page's Content-Security-Policy."""
        violations: list[str] = self.page.evaluate("window.violations")
        return self.messages + violations


def contrast(page: Page, selector: str) -> float:
    """Return the least contrast of text and background among the elements (WCAG 2.2, "contrast ratio")."""
    colours: list[Sequence[str]] = page.evaluate(_COLOURS, selector)
    assert colours, selector
    return min(_ratio(_luminance(ink), _luminance(paper)) for ink, paper in colours)


def sideways(page: Page) -> int:
    """Return the number of pixels by which the page is wider than the screen."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider


def outside(page: Page) -> list[str]:
    """Return the elements with words outside their card."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter((element) => {
          const words = document.createRange();
          words.selectNodeContents(element);
          const card = document.querySelector('main').getBoundingClientRect();
          return [...words.getClientRects()].some((r) => r.left < card.left || r.right > card.right);
        }).map((element) => element.tagName)"""
    )
    return found


def assert_protected(answer: Response) -> None:
    """Check the page's policy: it loads nothing, and its own style sheet is the only style."""
    directives = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    style = directives.pop("style-src")
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", style)
    assert set(directives.values()) == {"'none'"}
    assert set(directives) == {"default-src", "frame-ancestors", "base-uri", "form-action"}
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def _ratio(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def _luminance(colour: str) -> float:
    match = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert match, f"not an opaque colour: {colour}"
    red, green, blue = (_linear(int(part) / 255) for part in match.groups())
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
