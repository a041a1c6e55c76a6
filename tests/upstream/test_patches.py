from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.upstream.errors import UpstreamError
from ndino.upstream.patches import read_patch, read_series
from ndino.upstream.pins import LLAVA_NEXT, read_pins
from tests.upstream.conftest import PATCH

HEAD = "Why.\n\ndiff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n"


def write(folder: Path, text: str, name: str = "0001-x.patch") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_patch_gives_its_reason_and_its_files(tmp_path):
    second = "diff --git a/b.py b/b.py\n--- a/b.py\n+++ b/b.py\n@@ -3,0 +4,2 @@ def f():\n+x = 1\n+--- y\n"
    patch = read_patch(write(tmp_path, PATCH + second))
    assert patch.reason == "Why it is needed."
    assert patch.files == ("llava/train.py", "b.py")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HEAD + "@@ -1 +1 @@\n-a = 1\n+a = 2\n", "removes or repeats an upstream line"),
        (HEAD + "@@ -1,1 +1,2 @@\n a = 1\n+a = 2\n", "removes or repeats an upstream line"),
        (HEAD + "@@ -2,1 +1,0 @@\n-a = 1\n", "removes or repeats an upstream line"),
        (HEAD + "@@ -1,0 +2,1 @@\n-a = 1\n", "line 7: removes or repeats an upstream line"),
        # It would remove a line that looks like a header.
        (HEAD + "@@ -1,0 +2 @@\n--- a/b = 1\n", "announce 1 .* hold 0"),
        (HEAD + "@@ -1,0 +2,2 @@\n+a = 1\n", "announce 2 .* hold 1"),
        (HEAD + "@@ -1,0 +2 @@\n+a = 1\n+b = 1\n", "announce 1 .* hold 2"),
        (HEAD + "@@ -1,0 +2 @@\n+a = 1\n\\ No newline at end of file\n", "removes or repeats"),
        (HEAD.replace("--- a/a.py", "new file mode 100644\n--- /dev/null"), "overlay/"),
        (HEAD.replace("--- a/a.py", "deleted file mode 100644"), "overlay/"),
        (HEAD.removeprefix("Why.\n") + "@@ -1,0 +2 @@\n+a = 1\n", "gives no reason"),
        ("Why.\n", "patches nothing"),
        ("Why.\n@@ -1,0 +2 @@\n+a = 1\n", "patches nothing"),  # a hunk without the name of its file
    ],
)
def test_a_patch_that_does_more_than_insert_is_refused(tmp_path, text, what):
    with pytest.raises(UpstreamError, match=r"0001-x\.patch.*" + what):
        read_patch(write(tmp_path, text))


@given(st.data())
def test_what_diff_writes_is_what_is_applied(tmp_path_factory, data):
    """Against ``diff -U0`` itself: any lines, inserted anywhere."""
    line = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=4)
    old = data.draw(st.lists(line, min_size=1, max_size=8))
    new = list(old)
    for _ in range(data.draw(st.integers(1, 3))):
        # Lines that are not upstream's, since diff may otherwise tell the same change in another way.
        new.insert(data.draw(st.integers(0, len(new))), "ours" + data.draw(line))
    folder = tmp_path_factory.mktemp("diff")
    for name, lines in (("old", old), ("new", new)):
        (folder / name).write_bytes("".join(f"{line}\n" for line in lines).encode())
    command = ["diff", "-a", "-U0", "--label", "a/old", "--label", "b/old", "old", "new"]
    hunks = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE).stdout
    (folder / "x.patch").write_bytes(b"Why.\n" + hunks)
    read_patch(folder / "x.patch").apply(folder)
    assert (folder / "old").read_bytes() == (folder / "new").read_bytes()


def test_a_patch_that_git_cannot_apply_is_named_with_gits_reason(tmp_path):
    patch = read_patch(write(tmp_path, HEAD + "@@ -1,0 +2 @@\n+a = 1\n"))
    with pytest.raises(UpstreamError, match=r"0001-x\.patch no longer applies: a\.py: No such file.*remedy"):
        patch.apply(tmp_path)


def test_a_series_is_read_in_its_own_order(tmp_path):
    for name in ("0001-a.patch", "0002-b.patch"):
        write(tmp_path, PATCH, name)
    (tmp_path / "series").write_text("# the second comes first\n0002-b.patch\n\n0001-a.patch\n")
    assert [patch.path.name for patch in read_series(tmp_path)] == ["0002-b.patch", "0001-a.patch"]
    assert read_series(tmp_path / "none") == []


def test_a_series_and_its_folder_agree(tmp_path):
    (tmp_path / "series").write_text("0001-a.patch\n")
    with pytest.raises(UpstreamError, match=r"series names 0001-a\.patch, which is not there"):
        read_series(tmp_path)
    write(tmp_path, PATCH, "0001-a.patch")
    write(tmp_path, PATCH, "0002-b.patch")
    with pytest.raises(UpstreamError, match=r"0002-b\.patch is not in .*series"):
        read_series(tmp_path)


def test_our_own_series_only_inserts_and_every_file_it_touches_is_pinned():
    pin = read_pins()[LLAVA_NEXT]
    series = read_series(pin.patches)
    assert series
    assert {file for patch in series for file in patch.files} == set(pin.sha256) == set(pin.patched)
