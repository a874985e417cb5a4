"""JSON objects from outside."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.strict_json import parse_object

leaves = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    leaves | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(), values, max_size=5)


@given(objects, st.booleans())
def test_every_json_object_comes_back_as_it_was_written(members: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(members, ensure_ascii=ascii_only)
    assert parse_object(text) == members
    assert parse_object(text.encode()) == members


@given(st.binary(max_size=200) | st.text(max_size=200) | st.text('{}[]":,\\u0123eE+-. "ntfNaI', max_size=60))
def test_any_input_is_an_object_or_a_value_error(text: bytes | str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_object(text), dict)


@given(values.filter(lambda value: not isinstance(value, dict)))
def test_any_other_json_value_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not an object"):
        parse_object(json.dumps(value))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":3}',
        '{"a":1,"\\u0061":2}',
        '{"":1,"":2}',
        '{"a":{"b":1,"b":2}}',
        '{"a":[{"b":1,"b":2}]}',
        '{"a":[[{"b":{"c":1,"c":2}}]]}',
    ],
)
def test_a_name_twice_in_one_object_is_refused_at_any_depth(text: str) -> None:
    with pytest.raises(ValueError, match="duplicate"):
        parse_object(text)


def test_the_same_name_in_two_objects_is_no_duplicate() -> None:
    assert parse_object('{"a":{"a":1},"b":{"a":2},"c":[{"a":3},{"a":4}]}')["a"] == {"a": 1}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_does_not_know_are_refused(constant: str) -> None:
    for text in (f'{{"a":{constant}}}', f'{{"a":[1,{constant}]}}', constant):
        with pytest.raises(ValueError, match="constant"):
            parse_object(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{'a':1}",
        '{"a":1,}',
        "{a:1}",
        '{"a":01}',
        '{"a":+1}',
        '{"a":.5}',
        '{"a":0x10}',
        '{"a":"line\nbreak"}',
        '{"a":"\\x41"}',
        '{"a":"\\u12"}',
        '{"a" 1}',
        '{1:"a"}',
        '{"a":undefined}',
        '/**/{"a":1}',
        "\ufeff{}",
    ],
)
def test_a_text_that_only_looks_like_json_is_refused(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(ValueError, match=r".+"):
            parse_object(form)


@pytest.mark.parametrize(
    "data", [b'{"a":"\xff"}', b'{"a":"\xc3"}', b'{"a":"\xed\xa0\x80"}', '{"a":1}'.encode("utf-16"), b"\xef\xbb\xbf{}"]
)
def test_bytes_that_are_not_plain_utf_8_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_object(data)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("closed", [True, False])
def test_nesting_beyond_all_measure_is_a_value_error_and_no_crash(opening: str, closing: str, closed: bool) -> None:
    text = '{"a":' + opening * 100_000 + "1" + (closing * 100_000 + "}") * closed
    with pytest.raises(ValueError, match=r".+"):
        parse_object(text)


def test_a_number_of_five_thousand_digits_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="digits"):
        parse_object('{"a":' + "1" * 5000 + "}")


def test_a_number_beyond_what_a_float_holds_is_left_for_the_reader_to_judge() -> None:
    assert parse_object('{"a":1e400}') == {"a": math.inf}


def test_an_error_does_not_quote_what_could_not_be_read() -> None:
    for text in ('{"canary-7":1,"canary-7":2}', '{"a":"canary-7', '["canary-7"]', "canary-7"):
        with pytest.raises(ValueError, match=r".+") as raised:
            parse_object(text)
        assert "canary-7" not in str(raised.value)
