"""The table of contents at the head of template.yaml names every section, in order, and lines of prose are short."""

from __future__ import annotations

import re

from tests.support.functions import ROOT

TEMPLATE = (ROOT / "template.yaml").read_text()
BANNER = re.compile(r"^(?:  )?# --- (.+?) -+$", re.MULTILINE)


def test_every_title_of_the_table_is_a_banner_and_every_banner_is_in_the_table() -> None:
    head = TEMPLATE.split("\nDescription: ")[0]
    titles = re.findall(r"^#   (\S.*?)  +\S.*$", head, re.MULTILINE)
    assert len(titles) > 20
    assert len(set(titles)) == len(titles)
    assert BANNER.findall(TEMPLATE) == titles


def test_every_banner_fills_its_line_and_starts_a_section() -> None:
    before = ""
    for line in TEMPLATE.splitlines():
        if line.lstrip().startswith("# ---"):
            assert BANNER.fullmatch(line), line
            assert len(line) == 120, line
            assert before in ("", "Resources:"), line
        before = line


def test_every_top_level_section_has_a_banner_above_it() -> None:
    # The resources have many banners, and the first of them stands below the key.
    for key in ("Metadata", "Parameters", "Rules", "Globals", "Outputs"):
        above = TEMPLATE.split(f"\n{key}:\n")[0].rpartition("\n\n")[2]
        assert BANNER.match(above), key


def test_no_comment_and_no_line_of_a_description_has_more_than_120_characters() -> None:
    comments = re.findall(r"^ *# .*$", TEMPLATE, re.MULTILINE)
    texts = re.findall(r"^( *)(?:Alarm)?Description: >-\n((?:\1 +.*\n)+)", TEMPLATE, re.MULTILINE)
    described = [line for _, text in texts for line in text.splitlines()]
    assert len(comments) > 100
    assert len(described) > 100
    assert [line for line in [*comments, *described] if len(line) > 120] == []
