"""WIT's TSV tables, sound and damaged."""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndino.data.errors import DataError
from ndino.data.sources import wit_table
from ndino.data.sources.wit_table import COLUMNS, MAX_ROW_BYTES, WitFault, WitRow, WitTable
from tests.data.samples.wit_tables import row, table


def read(
    folder: Path, content: bytes, language: str = "it", name: str = "wit.tsv"
) -> list[WitRow | WitFault]:
    path = folder / name
    path.write_bytes(content)
    return list(WitTable(path, language))


def faults(found: list[WitRow | WitFault]) -> list[tuple[int, str]]:
    return [(fault.row, fault.reason) for fault in found if isinstance(fault, WitFault)]


def numbers(found: list[WitRow | WitFault]) -> list[int]:
    return [row.row for row in found if isinstance(row, WitRow)]


def one(**fields: str) -> bytes:
    """A row of Italian as bytes, with its line end."""
    return table([row(**fields)], header=False)


HEADER = table([])


def test_rows_of_the_language_are_read_unchanged(tmp_path: Path) -> None:
    rows = [row("de"), row(), row("it-x"), row("ital"), row(page_title='"Tutto" "fra virgolette"'), row("en")]
    path = tmp_path / "wit.tsv"
    path.write_bytes(table(rows))
    found = WitTable(path, "it")
    assert list(found) == [WitRow(2, rows[1]), WitRow(5, rows[4])]
    assert (found.rows, found.passed, found.named, found.columns) == (6, 4, True, COLUMNS)


# Fields as csv writes and reads them, made of what is hard for a reader.
FIELDS = st.lists(
    st.sampled_from(
        ['"', '""', "\n", "\t", "a", "è", "日", "it\t", "\nde\t", "http://", "\\", "'", " ", ","]
    ),
    max_size=8,
).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            row,
            st.sampled_from(["it", "de", "zh-TW", "be-tarask"]),
            page_title=FIELDS,
            section_title=FIELDS,
            context_section_description=FIELDS,
        ),
        max_size=6,
    ),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(70, 400),
)
def test_what_csv_writes_is_read_with_any_block_size(
    tmp_path: Path, rows: list[dict[str, str]], header: bool, line_end: str, block: int
) -> None:
    # What looks like a row's beginning is one, in a quoted field too: test_a_quote_that_is_not_closed.
    looks = re.compile(r"\n(it|de|)\t|\n.{0,32}\thttp")
    rows = [row for row in rows if not any(looks.search(field) for field in row.values())]
    content = table(rows, header=header, line_end=line_end)
    if not rows and not header:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wit_table, "BLOCK_BYTES", block)
        for name, packed in (("wit.tsv", content), ("wit.tsv.gz", gzip.compress(content))):
            found = read(tmp_path, packed, name=name)
            assert not faults(found)
            assert [row.fields for row in found] == [row for row in rows if row["language"] == "it"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400) | st.text('it\t\n"http://e\r\0').map(str.encode), st.integers(70, 400))
def test_any_junk_between_two_rows_is_survived(tmp_path: Path, junk: bytes, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wit_table, "BLOCK_BYTES", block)
        found = read(tmp_path, HEADER + one(page_title="A") + junk + b"\n" + one(page_title="B"))
    titles = [row.fields["page_title"] for row in found if isinstance(row, WitRow)]
    assert titles[0] == "A" and titles[-1] == "B"


def test_a_quote_that_is_not_closed_spoils_its_own_row(tmp_path: Path) -> None:
    plain = one(
        caption_reference_description="", context_page_description="", context_section_description="x"
    )
    open_quote = plain.replace(b"\tColosseo\t", b'\t"Colosseo\t')
    closed_late = one().replace(b"\tColosseo\t", b'\t"Colosseo\t')
    found = read(tmp_path, HEADER + one() + open_quote + one() + closed_late + one() + open_quote)
    assert numbers(found) == [1, 3, 5]
    expected = [(2, "quote not closed"), (4, "wrong number of columns"), (6, "quote not closed")]
    assert faults(found) == expected
    other = table([row("de")], header=False).replace(b"\tColosseo\t", b'\t"Colosseo\t')
    assert numbers(read(tmp_path, HEADER + other + one())) == [2]


def test_quotes_inside_a_field_are_characters(tmp_path: Path) -> None:
    content = one(section_title="X").replace(b"\tX\t", b'\tun 5" e "tre" 7"\t')
    (found,) = read(tmp_path, HEADER + content)
    assert found.fields["section_title"] == 'un 5" e "tre" 7"'
    content = one(section_title="X").replace(b"\tX\t", b'\t"uno" due\t')
    (found,) = read(tmp_path, HEADER + content)
    assert found.fields["section_title"] == "uno due"


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (one().replace(b"\tColosseo\t", b"\t"), "wrong number of columns"),
        (one().replace(b"\tColosseo\t", b"\tColosseo\tdi\tRoma\t"), "wrong number of columns"),
        (b"it\thttps://it.wikipedia.org\n", "wrong number of columns"),
        (b"it\t\n", "wrong number of columns"),
        (one(page_title="a\0b"), "NUL byte"),
        (one().replace(b"Il Colosseo visto", b"Il \xe8 visto"), "not UTF-8"),
        (one().replace("è un".encode(), b"\xc3 un"), "not UTF-8"),
        (one(page_title="x" * 200_000), "field too long"),
        (one(page_title="x" * (MAX_ROW_BYTES + 1)), "row too long"),
        (one(page_title='"\n' * MAX_ROW_BYTES), "row too long"),
        (one().replace(b"\tColosseo\t", b"\tColos\rseo\t"), "stray line end"),
        (one().replace(b"it\thttps", b"\thttps"), "no language in the first column"),
        (one().replace(b"it\thttps", b"IT\thttps"), "no language in the first column"),
        (one().replace(b"it\thttps", b"42?\thttps"), "no language in the first column"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_faulty_row_is_named_and_the_others_are_read(tmp_path: Path, spoilt: bytes, reason: str) -> None:
    found = read(tmp_path, HEADER + one() + spoilt + one() + table([row("de")], header=False) + one())
    assert faults(found) == [(2, reason)]
    assert numbers(found) == [1, 3, 5]


def test_an_unquoted_line_break_spoils_only_its_row(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + one() + one().replace(b"\tColosseo\t", b"\tColos\nseo\t") + one())
    assert faults(found) == [(2, "wrong number of columns"), (2, "no row begins here")]
    assert numbers(found) == [1, 3]


def test_empty_lines_and_a_missing_final_newline_are_ignored(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + b"\n\r\n" + one() + b"\n\n" + one().rstrip(b"\n"))
    assert numbers(found) == [1, 2] and not faults(found)


def test_a_table_without_its_first_line_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    for content in (one() + one(), b"\xef\xbb\xbf" + one() + one(), b"\xef\xbb\xbf" + HEADER + one() + one()):
        found = read(tmp_path, content)
        assert numbers(found) == [1, 2] and not faults(found)
        assert found[0].fields == row()


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    file = io.StringIO()
    columns = ["language", "page_url", *reversed(COLUMNS[2:]), "caption_title_and_reference_description"]
    writer = csv.DictWriter(file, columns, delimiter="\t", restval="x", lineterminator="\n")
    writer.writeheader()
    writer.writerow(row())
    (found,) = read(tmp_path, file.getvalue().encode())
    assert found.fields == row() | {"caption_title_and_reference_description": "x"}


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.999])
def test_complete_rows_of_a_truncated_gzip_file_are_read(tmp_path: Path, kept: float) -> None:
    rows = [row(page_title=f"{number}" * 50) for number in range(400)]
    content = gzip.compress(table(rows))
    found = read(tmp_path, content[: int(len(content) * kept)])
    whole = [item.fields for item in found if isinstance(item, WitRow)]
    assert 0 < len(whole) < 400 and whole == rows[: len(whole)]
    assert [reason for _, reason in faults(found)] == ["file breaks off"]
    assert isinstance(found[-1], WitFault)


def test_rows_before_the_damage_in_a_gzip_file_are_read(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    rows = [row(page_title=random.Random(number).randbytes(200).hex()) for number in range(400)]
    content = packer.compress(table(rows)) + packer.flush(zlib.Z_FULL_FLUSH)
    damaged = content + b"\xff" * 100 + packer.compress(one()) + packer.flush()
    found = read(tmp_path, damaged)
    assert 200 < len(numbers(found)) <= 400 and isinstance(found[-1], WitFault)
    assert faults(found) == [(found[-1].row, "file breaks off")]


def test_concatenated_gzip_files_are_one(tmp_path: Path) -> None:
    found = read(tmp_path, gzip.compress(HEADER + one()) + gzip.compress(one()) + bytes(512))
    assert numbers(found) == [1, 2] and not faults(found)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "first line is ''"),
        (b"\n\n", "first line is ''"),
        (b"a,b,c\n1,2,3\n", "first line is 'a,b,c'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "first line"),
        (b"language\tpage_url\n", "first line"),
        (HEADER.replace(b"page_url\timage_url", b"image_url\tpage_url"), "first line"),
        (HEADER.rstrip() + b"\tlanguage\n", "names a column twice"),
        (b"it\tnot an address\n", "first line"),
        (b"\x1f\x8b not packed", "not a WIT table"),
        (gzip.compress(b"hello", mtime=0), "first line is 'hello'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match="not a WIT table") as error:
        read(tmp_path, content)
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_memory_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "wit.tsv.gz"
    endless = one().rstrip(b"\n")
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(HEADER + one(context_page_description="x" * 100_000) * 200)
        for block in (b"x", b'""\n'):
            file.write(endless)
            for _ in range(30):
                file.write(block * (MAX_ROW_BYTES // len(block)))
            file.write(b"\n")
        file.write(one())
    tracemalloc.start()
    found = list(WitTable(path, "it"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert faults(found) == [(201, "row too long"), (202, "row too long")] and len(found) == 203
    assert peak < 30 * 1024**2 + sum(len(str(row)) for row in found if isinstance(row, WitRow))
