"""The journal of a shard, whole and torn."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ndino.data.framework.journal import Journal, json_line, json_rows, write_rows

TEXTS = st.text(st.characters(exclude_categories=[]), max_size=8)  # half characters, too
ENTRIES = st.dictionaries(
    st.integers(0, 99), st.fixed_dictionaries({"rows": st.lists(TEXTS, max_size=3)}), max_size=6
)


def fill(path: Path, entries: dict) -> None:
    journal = Journal(path)
    for number, entry in entries.items():
        journal.append(number, entry)
    journal.close()


@given(ENTRIES, st.data())
def test_a_journal_cut_anywhere_keeps_its_complete_lines_and_resumes(entries, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.jsonl")
        fill(path, entries)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        tail = data.draw(st.sampled_from([b"", b"\0\0\0\0", b"\0\n", b'{"item": "x"}\n', b"[]\n"]))
        path.write_bytes(content[:cut] + tail)
        whole = content[:cut].count(b"\n")
        journal = Journal(path)
        assert journal.numbers() == sorted(list(entries)[:whole])
        for number in list(entries)[whole:]:
            journal.append(number, entries[number])
        journal.close()
        assert path.read_bytes() == content


@given(ENTRIES)
def test_sorted_by_number(entries):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.jsonl")
        fill(path, entries)
        Journal(path).sort()
        assert list(json_rows(path)) == [{"item": number, **entries[number]} for number in sorted(entries)]


def test_lines_are_utf_8_and_lone_surrogates_are_escaped(tmp_path):
    assert json_line({"a": "è\u2028\n"}) == '{"a": "è\u2028\\n"}\n'.encode()
    assert json.loads(json_line({"a": "\ud800"}).decode()) == {"a": "\ud800"}
    write_rows(tmp_path / "rows.jsonl", [{"a": "è\u2028\n"}, 1])
    assert list(json_rows(tmp_path / "rows.jsonl")) == [{"a": "è\u2028\n"}, 1]


def test_a_line_without_a_newline_is_torn(tmp_path):
    path = tmp_path / "journal.jsonl"
    fill(path, {0: {"rows": []}, 1: {"rows": ["è"]}})
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    journal = Journal(path)
    assert journal.numbers() == [0]
    journal.append(1, {"rows": ["è"]})
    journal.close()
    assert path.read_bytes() == content
