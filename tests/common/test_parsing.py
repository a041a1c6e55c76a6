"""JSON and YAML of anybody: lists item by item, what is broken, nested too deeply or stands for too much."""

from __future__ import annotations

import io
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ndino.common import parsing
from ndino.common.parsing import (
    MOST_VALUES,
    REPEATED,
    NoListError,
    list_items,
    names_in_braces,
    parse_json,
    parse_row,
    parse_yaml,
)
from tests.properties import examples

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def few_at_a_time(monkeypatch):
    monkeypatch.setattr(parsing, "_BYTES", 3)


@pytest.mark.usefixtures("few_at_a_time")
@examples(150)
@given(st.lists(values, max_size=5), st.sampled_from([None, 2]), st.booleans(), st.booleans())
def test_items_are_those_of_the_whole_list_wherever_it_is_cut(items, indent, ascii_only, marked):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    content = text.encode("utf-8-sig" if marked else "utf-8", errors="surrogatepass")
    try:
        expected = json.loads(content)
    except UnicodeDecodeError:  # a lone surrogate
        with pytest.raises(UnicodeDecodeError):
            list(list_items(io.BytesIO(content)))
    else:
        assert list(list_items(io.BytesIO(content))) == expected == items


@pytest.mark.usefixtures("few_at_a_time")
@examples(300)
@given(st.text(alphabet='[]{}",:idtrue0.-\\ \n', max_size=20).map(lambda text: "[" + text))
def test_what_is_no_json_is_a_value_error_and_what_is_one_is_read(text):
    try:
        expected = parse_row(text)
    except ValueError:
        with pytest.raises(ValueError):
            list(list_items(io.BytesIO(text.encode())))
    else:
        assert list(list_items(io.BytesIO(text.encode()))) == expected


@pytest.mark.parametrize(
    ("text", "good", "reason"),
    [
        ('[1, {"a": }, 3]', 1, r"Expecting value near '\{\"a\": \}, 3\]'"),
        ("[1, 2", 1, "the list is cut off"),
        ('[1, {"a": "b', 1, "the list is cut off"),
        ("[1 2]", 0, "does not go on or end"),
        ("[1] 2", 1, "more text behind the list"),
        ('[1, {"a": 1, "b": 2, "a": 1}]', 1, "'a' is given twice"),
        ('[1, [{"a": {"": 1, "": 2}}]]', 1, "'' is given twice"),
        ("[1, " + "[" * 100_000, 1, "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, 0, "nested too deeply"),
        ('[1, {"a": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001 + "]", 1, "nested too deeply"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_items_before_a_broken_one_are_read(text, good, reason):
    found = []
    with pytest.raises(ValueError, match=reason):
        for each in list_items(io.BytesIO(text.encode())):
            found.append(each)
    assert len(found) == good


def test_something_else_than_a_list_is_told_apart():
    for content in (b"", b'{"a": 1}', b"text"):
        with pytest.raises(NoListError):
            list(list_items(io.BytesIO(content)))


def test_a_broken_item_does_not_make_it_read_the_rest_of_the_file(tmp_path):
    path = tmp_path / "list.json"
    path.write_text("[nothing, " + json.dumps(["x" * 1000] * 20_000))
    with path.open("rb") as file, pytest.raises(ValueError, match="Expecting value near 'nothing"):
        for _ in list_items(file):
            pass
    with path.open("rb") as file:
        items = list_items(file)
        with pytest.raises(ValueError, match="Expecting value"):
            next(items)
        assert file.tell() < path.stat().st_size / 10


def test_json_nested_too_deeply_is_a_value_error():
    for text in ("[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(text)


def test_a_row_with_a_key_that_is_given_twice_is_a_value_error():
    for text in ('{"a": 1, "b": 2, "a": 1}', b'[{"b": {"a": 1, "a": 2}}]', '{"a": 1, "\\u0061": 2}'):
        with pytest.raises(ValueError, match=r"^the key 'a' is given twice$"):
            parse_row(text)
    assert parse_row('{"a": {"a": 1}, "A": [{"a": 1}, {"a": 2}]}') == {
        "a": {"a": 1},
        "A": [{"a": 1}, {"a": 2}],
    }


def test_yaml_refuses_a_key_given_twice_at_any_depth_and_takes_merges():
    for text in ("a: 1\na: 2", "a: {b: 1, c: 2, b: 1}", "- {a: 1, 'a': 2}", "a: {<<: {b: 1}, b: 2, b: 3}"):
        with pytest.raises(yaml.MarkedYAMLError, match=rf"{REPEATED}\s.* is given twice"):
            parse_yaml(text)
    base = "x: &x {a: 1, b: 2}\ny: &y {<<: *x, b: 3}\nz: {<<: *y, b: 4, 'yes': 1, yes: 2}"
    assert parse_yaml(base)["z"] == {"a": 1, "b": 4, "yes": 1, True: 2}


@pytest.mark.parametrize(
    ("value", "said"), [("2020-13-45", "2020-13-45"), ("!!int x", "x"), ("!!float ''", ""), ("!!bool x", "x")]
)
def test_a_value_of_another_kind_than_yaml_takes_it_for_is_a_yaml_error(value, said):
    with pytest.raises(yaml.MarkedYAMLError, match=f"{said} is no date, number or truth value") as caught:
        parse_yaml(f"a: 1\nb: {value}")
    assert caught.value.problem_mark.line == 1


def test_yaml_nested_too_deeply_or_full_of_aliases_is_a_yaml_error():
    bomb = "a: &a [1, 2]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text, reason in (
        ("[" * 100_000, "nested too deeply"),
        (bomb, f"more than {MOST_VALUES:,} values"),
        ("a: &a [*a]", f"more than {MOST_VALUES:,} values"),
    ):
        with pytest.raises(yaml.YAMLError, match=reason):
            parse_yaml(text)
    assert parse_yaml("a: &a {b: 1}\nc: *a") == {"a": {"b": 1}, "c": {"b": 1}}


@examples(300)
@given(st.text("{}ab.[]01!:rd ", max_size=12))
def test_a_template_with_names_in_braces_can_be_filled_with_texts(template):
    names = names_in_braces(template)
    if names is not None:
        assert template.format(**dict.fromkeys(names, "x")).count("x") == len(names)


@pytest.mark.parametrize("braces", ["{", "}", "{}", "{0}", "{a:d}", "{a!r}", "{a[0]}", "{a.b}", "{a:{b}}"])
def test_anything_but_names_in_braces_is_told(braces):
    assert names_in_braces("a {b} {{c}}") == ["b"]
    assert names_in_braces(f"a {{b}} {braces}") is None
