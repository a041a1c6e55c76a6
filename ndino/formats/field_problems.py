"""What is wrong with the fields of a YAML file, in the words of who writes YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndino.common.errors import shown
from ndino.common.parsing import parse_yaml

# pydantic speaks of arrays, tuples and objects; who writes YAML does not.
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_too_short": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "fields and values",
    "dataclass_type": "fields and values",
    "too_short": "at least one entry",
}


def problems(items: Sequence[Any]) -> list[str]:
    """What pydantic's errors say is wrong with a YAML file, one text each, most with a remedy."""
    absent = [_field(item) for item in items if _is_absent(item)]
    found = []
    if len(absent) == 1:
        found.append(f"{absent[0]}: missing (remedy: add it)")
    elif absent:
        found.append(f"missing: {', '.join(absent)} (remedy: add them, or extends: a recipe that has them)")
    # A list with a wrong entry is also reported as a list without it.
    parents = {item["loc"][:length] for item in items for length in range(len(item["loc"]))}
    return found + [
        _problem(item)
        for item in items
        if not _is_absent(item) and not (item["type"] == "too_short" and item["loc"] in parents)
    ]


def _is_absent(item: Any) -> bool:
    return item["type"] in ("missing", "missing_argument") and not isinstance(item["loc"][-1], int)


def _field(item: Any) -> str:
    return ".".join(str(part) for part in item["loc"])


def _problem(item: Any) -> str:
    field = _field(item)
    if item["type"] == "unexpected_keyword_argument":
        return f"{field}: unknown field (remedy: correct its spelling or remove it)"
    if item["type"] == "missing":  # of a list with a fixed number of entries
        return f"{field.rpartition('.')[0]}: expected another entry, found {as_written(item['input'])}"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "too_long":
        expected = f"{item['ctx']['max_length']} entries"
    else:
        expected = _EXPECTED.get(item["type"]) or item["msg"].replace("Input should be ", "")
    hint = ""
    if item["type"] == "float_type" and (number := _as_yaml_number(item["input"])) is not None:
        text = item["input"].strip()
        hint = f" (remedy: YAML reads {text} as text; write {number}, with a point and the exponent's sign)"
        if number == text.lower():
            hint = f" (remedy: write {number} without quotes)"
    return f"{field}: expected {expected}, found {as_written(item['input'])}{hint}"


def as_written(value: Any) -> str:
    """A value as YAML has it, shortened."""
    named = {None: "null", True: "true", False: "false"}
    simple = isinstance(value, bool) or value is None
    return named[value] if simple else shown(repr(value))


def _as_yaml_number(value: Any) -> str | None:
    """A text such as ``1e5`` as YAML has that number; None if it is none."""
    try:
        float(value)
    except (TypeError, ValueError):
        return None
    if not isinstance(value, str):
        return None
    # YAML 1.1 asks for a point before the exponent, and a sign in it.
    mantissa, _, exponent = value.strip().lower().partition("e")
    if exponent:
        mantissa += "" if "." in mantissa else ".0"
        exponent = "e" + ("" if exponent[0] in "+-" else "+") + exponent
    number = mantissa + exponent
    return number if isinstance(parse_yaml(number), int | float) else None
