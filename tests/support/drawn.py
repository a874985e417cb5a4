"""Random texts for the secrets of tests. The watch of ``leaks`` finds them again.

Hypothesis also draws the string constants of our own source, such as ``"malformed_answer"``. A log line rightly holds
such a word as the reason of a failure. Drawn as a token, the word would count as a leak there. No setting turns that
off. If a text of this module may become a secret, it therefore has a mark. The source's constants do not have the mark.
"""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

# Base64url, so most grammars take it. It is part of no word and of no constant of the source.
MARK = "Zq"
# Every twelve characters in a row have one whole mark. Shorter values do not count as secrets.
_EVERY = 11


def secret_texts(
    alphabet: Collection[str] | st.SearchStrategy[str] | None = None, *, min_size: int = 0, max_size: int | None = None
) -> st.SearchStrategy[str]:
    """Return texts as ``st.text`` does, with marks in texts long enough to be secrets."""
    # Like `st.text` itself: any character but the halves of surrogate pairs. UTF-8 has no bytes for halves.
    characters = st.characters(codec="utf-8") if alphabet is None else alphabet
    return st.text(characters, min_size=min_size, max_size=max_size).map(marked)


def marked(text: str) -> str:
    """Replace characters by marks, from the twelfth character on. The length stays the same."""
    if len(text) <= _EVERY:
        return text
    blocks = (text[start : start + _EVERY] for start in range(0, len(text), _EVERY))
    return "".join(block[: -len(MARK)] + MARK if len(block) == _EVERY else block for block in blocks)
