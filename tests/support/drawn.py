"""Texts that hypothesis draws for what the watch of ``leaks`` takes for a secret.

Hypothesis also draws the string constants of our own source, such as ``"malformed_answer"``. Drawn as a token, such a
word would count as a leak in a log line, where it rightly stands as the reason of a failure. No setting turns that off.
The texts of this module that may become a secret therefore have a mark that no constant of the source has.
"""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

# Base64url, and part of no word: most grammars take it, and no constant of the source has it.
MARK = "Zq"
# Every twelve characters in a row, the least that counts as a secret, have one whole mark.
_EVERY = 11


def secret_texts(
    alphabet: Collection[str] | st.SearchStrategy[str] | None = None, *, min_size: int = 0, max_size: int | None = None
) -> st.SearchStrategy[str]:
    """Return what ``st.text`` does, with marks in texts that are long enough to be secrets."""
    # As in `st.text` itself: any character but the halves of surrogate pairs, which UTF-8 has no bytes for.
    characters = st.characters(codec="utf-8") if alphabet is None else alphabet
    return st.text(characters, min_size=min_size, max_size=max_size).map(marked)


def marked(text: str) -> str:
    """Put marks in the place of characters, so that the length stays, from the twelfth character on."""
    if len(text) <= _EVERY:
        return text
    blocks = (text[start : start + _EVERY] for start in range(0, len(text), _EVERY))
    return "".join(block[: -len(MARK)] + MARK if len(block) == _EVERY else block for block in blocks)
