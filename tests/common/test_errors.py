"""What errors say of their cause."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from pathlib import Path

import pytest

from ndino.cli import main
from ndino.common.errors import no_room, reason_of, remedy_for, shown


def test_a_reason_is_one_line():
    assert reason_of(ValueError("two\n  lines ")) == "two lines"
    assert reason_of(KeyboardInterrupt()) == "KeyboardInterrupt"


CONTROL = "a\0b\x1b[2Jc\u202ed\re\nf\udcff"
ESCAPED = r"a\x00b\x1b[2Jc\u202ed\re\nf\udcff"


def test_control_characters_are_escaped():
    assert shown(CONTROL) == ESCAPED and shown("perché no 🙂") == "perché no 🙂"
    assert reason_of(ValueError("a\0b\x1b[2J")) == r"a\x00b\x1b[2J"


def test_no_message_holds_a_control_character(tmp_path: Path, capsys):
    name = CONTROL.replace("\0", "")
    talk = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "Un segno."}]
    rows = [{"id": str(n), "image": image, "conversations": talk} for n, image in enumerate((CONTROL, name))]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows).replace("\\udcff", ""))
    for command in (["data", "check", str(data)], ["data", "check", name], ["train", name, "--out", "o"]):
        assert main(command) in (1, 2)
    with pytest.raises(SystemExit):
        main(["data", "mix", "--seed", name])
    said = "".join(capsys.readouterr())
    assert r"a\x00b\x1b[2Jc\u202ed\re\nf" in said
    assert not set(said) & {*CONTROL} - {*"abcdef[2J\n\r"}


def wrapped(cause: Exception) -> Exception:
    """The error of a library that does not say why it failed."""
    try:
        try:
            raise cause
        except Exception as inner:
            raise RuntimeError("An error occurred while generating the dataset") from inner
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (OSError(errno.ENOSPC, "full"), "No space left on device"),
        (OSError(errno.EDQUOT, "full", "/a/b"), "/a/b: Disk quota exceeded"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on device"),
        (sqlite3.OperationalError("database or disk is full"), "No space left on device"),
        (OSError("1048576 requested and 0 written"), "No space left on device"),  # NumPy's tofile
    ],
)
def test_a_full_disk_is_found_behind_the_words_of_a_library(cause, reason):
    error = wrapped(cause)
    assert no_room(error) and reason_of(error) == reason
    assert remedy_for(error, "fetch it again") == "make room on that disk"


def test_a_refusal_names_the_file_and_whom_to_ask(tmp_path: Path):
    error = wrapped(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a")))
    assert reason_of(error) == f"{tmp_path / 'a'}: Permission denied"
    assert "chmod" in remedy_for(error, "fetch it again") and not no_room(error)


def test_any_other_cause_is_told_in_its_own_words():
    error = wrapped(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/a"))
    assert reason_of(error) == "[Errno 2] No such file or directory: '/a'"
    assert remedy_for(error, "fetch it again") == "fetch it again"


def test_an_error_that_was_put_aside_is_no_cause():
    with pytest.raises(ValueError) as caught:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError:
            raise ValueError("of its own") from None
    assert reason_of(caught.value) == "of its own"


def test_data_do_not_fill_the_screen():
    image = "/9j/" + "A" * 100_000
    assert shown("città.png") == "città.png"
    assert shown(image) == f"{image[:40]}… (100,004 characters)"
    with pytest.raises(OSError) as caught:
        Path(image).read_bytes()
    assert reason_of(caught.value) == f"File name too long: {image[:150]}… (100,004 characters)"
    assert len(reason_of(ValueError(image))) < 320


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 16.00 GiB"),
    ],
)
def test_for_want_of_memory_nothing_is_fetched_again(error):
    assert remedy_for(error, "fetch it again") == "use a machine with more memory"
