"""Query strings, forms and JSON bodies."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from urllib.parse import quote, quote_plus, unquote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.errors import InvalidRequest
from oauth_broker.web.parameters import Parameters, parse_form, parse_form_or_json, parse_query, raw_query_value
from tests.support.drawn import secret_texts
from tests.unit.fakes import FORM, JSON, http_request, posted

# Pieces of queries, so random queries often make sense.
pieces = st.sampled_from(
    ["a", "b", "state", "=", "&", "+", ";", "%", "%20", "%61", "%26", "%3D", "%00", "%ff", "é", "\n"]
)
queries = st.lists(pieces, max_size=14).map("".join) | secret_texts(max_size=60)
names = st.text(min_size=1, max_size=8)
# Without empty values, because these count as left out.
members = st.dictionaries(names, secret_texts(min_size=1, max_size=20), max_size=8)


def test_parameters_are_found_by_name() -> None:
    parameters = Parameters([("a", "1"), ("b", "2")])
    assert parameters.get("a") == "1"
    assert parameters.require("b") == "2"
    assert parameters.get("c") is None


@pytest.mark.parametrize("pairs", [[], [("a", "")]])
def test_a_parameter_without_a_value_counts_as_left_out(pairs: list[tuple[str, str]]) -> None:
    parameters = Parameters(pairs)
    assert parameters.get("a") is None
    with pytest.raises(InvalidRequest) as raised:
        parameters.require("a")
    assert raised.value.reason == "missing_a"
    assert "a is missing" in raised.value.description


@pytest.mark.parametrize("values", [("1", "1"), ("1", "2"), ("", "1"), ("1", ""), ("", ""), ("1", "2", "3")])
def test_a_repeated_parameter_is_refused_with_or_without_a_value(values: tuple[str, ...]) -> None:
    parameters = Parameters([("b", "x"), *(("a", value) for value in values)])
    assert parameters.is_repeated("a")
    for read in (parameters.get, parameters.require):
        with pytest.raises(InvalidRequest) as raised:
            read("a")
        assert raised.value.reason == "repeated_a"
    with pytest.raises(InvalidRequest):
        parameters.refuse_repeated()
    assert parameters.get("b") == "x"


@pytest.mark.parametrize("raw", ["a=&a=1", "a=1&a=", "a&a", "a=&a", "a=1&%61=1", "a=1&b=2&a=1"])
def test_a_repeated_parameter_is_found_in_a_query_with_or_without_a_value(raw: str) -> None:
    parameters = parse_query(raw)
    assert parameters.is_repeated("a")
    with pytest.raises(InvalidRequest):
        parameters.refuse_repeated()


def test_parameters_that_come_once_are_not_repeated() -> None:
    parameters = Parameters([("a", "1"), ("A", "1"), ("a ", "1"), ("b", "")])
    parameters.refuse_repeated()
    assert not parameters.is_repeated("a")
    assert not parameters.is_repeated("missing")


@given(members)
def test_the_parameters_read_are_the_parameters_that_a_client_encoded(fields: dict[str, str]) -> None:
    for encode in (quote_plus, quote):
        parameters = parse_query(urlencode(fields, quote_via=encode))
        assert {name: parameters.get(name) for name in fields} == fields


@given(queries)
def test_any_query_is_parameters_or_an_invalid_request(raw: str) -> None:
    with suppress(InvalidRequest):
        parse_query(raw).get("state")


@pytest.mark.parametrize("raw", ["a=%ff", "%ff=a", "a=%c3", "a=%ed%a0%80", "a=%C0%80"])
def test_bytes_that_are_not_utf_8_are_refused_and_not_replaced(raw: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_query(raw)
    assert raised.value.reason == "malformed_parameters"


def test_far_too_many_parameters_are_refused() -> None:
    fields = [f"p{number}=1" for number in range(65)]
    assert parse_query("&".join(fields[:64])).get("p63") == "1"
    with pytest.raises(InvalidRequest):
        parse_query("&".join(fields))


def test_a_semicolon_and_a_comma_are_part_of_a_value() -> None:
    parameters = parse_query("a=1;b=2&c=3,c=4")
    assert parameters.get("a") == "1;b=2"
    assert parameters.get("c") == "3,c=4"
    assert parameters.get("b") is None


def test_an_error_repeats_nothing_of_the_request() -> None:
    parameters = Parameters([("a", "canary-1"), ("a", "canary-2")])
    with pytest.raises(InvalidRequest) as raised:
        parameters.get("a")
    assert "canary" not in raised.value.description + raised.value.reason


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("state=abc", "abc"),
        ("a=1&state=abc&b=2", "abc"),
        ("state=a%26b%3Dc%00%C3%A9", "a%26b%3Dc%00%C3%A9"),
        ("state=a+b/c=", "a+b/c="),
        ("state=%e9", "%e9"),
        ("state=x%zz", "x%zz"),
        ("%73tate=abc", "abc"),
        ("stat%65=abc", "abc"),
        ("state=", None),
        ("state", None),
        ("", None),
        ("xstate=abc", None),
        ("state%20=abc", None),
        ("State=abc", None),
        ("a=1;state=abc", None),
    ],
)
def test_a_raw_value_is_found_and_stays_encoded_as_it_was(raw: str, expected: str | None) -> None:
    assert raw_query_value(raw, "state") == expected


@given(queries)
def test_the_raw_value_is_always_the_one_that_is_read(raw: str) -> None:
    try:
        value = parse_query(raw).get("state")
    except InvalidRequest:
        return
    assert (raw_query_value(raw, "state") is None) is (value is None)
    assert value is None or unquote_plus(raw_query_value(raw, "state") or "") == value


@given(members)
def test_a_form_is_read_as_it_was_written_base64_encoded_or_not(fields: dict[str, str]) -> None:
    body = urlencode(fields)
    plain = http_request("POST", headers={"content-type": FORM}, body=body)
    for request in (posted(body), plain):
        parameters = parse_form(request)
        assert {name: parameters.get(name) for name in fields} == fields


@pytest.mark.parametrize(
    "content_type",
    [FORM, FORM.upper(), f"{FORM};charset=UTF-8", f"{FORM} ; charset=utf-8", f" {FORM}", f"{FORM};"],
)
def test_a_form_may_name_its_charset_in_any_case(content_type: str) -> None:
    assert parse_form(posted("a=1", content_type)).get("a") == "1"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        JSON,
        "text/plain",
        "multipart/form-data; boundary=x",
        f"{FORM}, {FORM}",
        f"{FORM},{JSON}",
        f"{JSON}, {FORM}",
        f"text/plain; {FORM}",
        f"{FORM}x",
        "application/x-www-form-urlencoded\u00a0x",
    ],
)
def test_a_form_of_another_content_type_or_a_list_of_them_is_refused(content_type: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_form(posted("a=1", content_type))
    assert raised.value.reason == "content_type"


def test_the_parameters_of_the_query_string_are_not_those_of_the_form() -> None:
    assert parse_form(posted("a=1", query="b=2")).get("b") is None


@pytest.mark.parametrize("parse", [parse_form, parse_form_or_json])
def test_a_body_that_is_too_large_is_refused_before_it_is_parsed(parse: object) -> None:
    assert callable(parse)
    largest = b"a=" + b"1" * (32 * 1024 - 2)
    assert parse(posted(largest)).get("a") == "1" * (32 * 1024 - 2)
    with pytest.raises(InvalidRequest) as raised:
        parse(posted(largest + b"1"))
    assert raised.value.reason == "body_too_large"


@pytest.mark.parametrize("body", ["not base64!", "a", "YQ", "\u00e9", "YQ==\n"])
def test_a_body_that_is_not_the_base64_it_claims_to_be_is_refused(body: str) -> None:
    request = http_request("POST", headers={"content-type": FORM}, body=body, body_is_base64=True)
    with pytest.raises(InvalidRequest):
        parse_form(request)


@pytest.mark.parametrize("content_type", [FORM, JSON])
def test_a_body_that_is_not_utf_8_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_form_or_json(posted(b"\xff\xfe", content_type))
    assert raised.value.reason == "body_not_utf8"


@given(st.dictionaries(names, secret_texts(st.characters(max_codepoint=127), min_size=1, max_size=20), max_size=8))
def test_json_of_plain_strings_is_read_as_a_form_would_be(fields: dict[str, str]) -> None:
    parameters = parse_form_or_json(posted(json.dumps(fields), f"{JSON}; charset=utf-8"))
    assert {name: parameters.get(name) for name in fields} == fields


@pytest.mark.parametrize("value", ["1", "true", "[]", "[null]", '["a"]', "{}", "1.5", '"\\u00e9"', '"\\ud800"'])
def test_a_json_member_that_is_not_a_plain_string_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_form_or_json(posted(f'{{"a":"1","b":{value}}}', JSON))
    assert raised.value.reason == "malformed_json"


def test_a_json_member_that_is_null_counts_as_left_out() -> None:
    parameters = parse_form_or_json(posted('{"a":"1","b":null}', JSON))
    assert parameters.get("a") == "1"
    assert parameters.get("b") is None
    with pytest.raises(InvalidRequest) as raised:
        parameters.require("b")
    assert raised.value.reason == "missing_b"


@pytest.mark.parametrize(
    "body",
    ["", "[]", '"a"', "null", "{", "a=1", '{"a":"1","a":"2"}', '{"a":NaN}', "[" * 20_000, '{"a":' + "1" * 5000 + "}"],
)
def test_json_that_is_no_strict_object_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_form_or_json(posted(body, JSON))
    assert raised.value.reason == "malformed_json"


def test_json_is_read_only_where_it_is_offered() -> None:
    assert parse_form_or_json(posted("a=1")).get("a") == "1"
    with pytest.raises(InvalidRequest):
        parse_form(posted('{"a":"1"}', JSON))
    with pytest.raises(InvalidRequest):
        parse_form_or_json(posted('{"a":"1"}', "text/json"))


@given(st.binary(max_size=80), st.sampled_from([FORM, JSON, "text/plain", ""]), st.booleans())
def test_any_body_is_parameters_or_an_invalid_request(body: bytes, content_type: str, encoded: bool) -> None:
    text = base64.b64encode(body).decode() if encoded else body.decode("latin-1")
    request = http_request("POST", headers={"content-type": content_type}, body=text, body_is_base64=encoded)
    with suppress(InvalidRequest):
        parse_form_or_json(request).refuse_repeated()
