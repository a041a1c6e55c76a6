"""Stamps are found or downloaded, read, and split without two alike on both sides."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniature.worlds.stamp_files import (
    INSTALLED,
    PACKAGE,
    VARIABLE,
    StampsError,
    find_stamps,
    read_captions,
    read_stamps,
    split_stamps,
    stems_of,
)
from ndino.languages.lexicon import stamp_words
from tests.miniature.worlds.stamps_package import write_stamp

ITALIAN, SPANISH = stamp_words("it"), stamp_words("es")


def test_captions_of_a_text_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        "A “knight’s” helmet.\nit_CH.utf8=No.\nit.utf8=  un elmo  “medievale”\nfr.utf8=Un heaume.\n", "utf-8"
    )
    assert read_captions(path, ITALIAN) == ('A "knight\'s" helmet.', 'Un elmo "medievale".')
    assert read_captions(path, stamp_words("en")) == ('A "knight\'s" helmet.',) * 2


@pytest.mark.parametrize("content", ["A frog.\nes.utf8=Una rana.\n", "A frog.\nit.utf8=\n", ""])
def test_a_missing_caption_is_named(tmp_path, content):
    (tmp_path / "frog.txt").write_text(content)
    with pytest.raises(ValueError, match=r"no Italian caption .*frog\.txt"):
        read_captions(tmp_path / "frog.txt", ITALIAN)


def test_english_may_be_missing(tmp_path):
    (tmp_path / "frog.txt").write_text("es.utf8=Una rana.\nit.utf8=Una rana!\n")
    assert read_captions(tmp_path / "frog.txt", ITALIAN) == ("", "Una rana!")
    assert read_captions(tmp_path / "frog.txt", SPANISH) == ("", "Una rana.")


def test_captions_of_one_thing_have_equal_stems():
    for words, one, other in (
        (ITALIAN, "Una rosa.", "Due rose!"),
        (ITALIAN, "Un cucchiaio.", "Alcuni cucchiai."),
        (SPANISH, "Una rosa.", "Dos rosas."),
        (stamp_words("en"), "A fox.", "Two foxes!"),
    ):
        assert stems_of(one, words) == stems_of(other, words), one
    assert stems_of("Una rosa.", SPANISH) != stems_of("Una rana.", SPANISH)


@given(caption=st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"]), min_size=1))
def test_any_caption_becomes_one_clean_line(text_file, caption):
    def read(text: str) -> str:
        text_file.write_text(f"A.\nit.utf8={text}\n", encoding="utf-8")
        return read_captions(text_file, ITALIAN)[1]

    if caption.split():
        cleaned = read(caption)
        assert cleaned == " ".join(cleaned.split()) and cleaned[0] == cleaned[0].upper()
        assert read(cleaned) == cleaned
    else:
        with pytest.raises(ValueError, match="no Italian caption"):
            read(caption)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    return tmp_path_factory.mktemp("text") / "a.txt"


@given(seed=st.integers(0, 2**32))
def test_nothing_alike_straddles_the_split(alike, seed):
    training, held_out = split_stamps(alike, 0.25, random.Random(seed))
    assert sorted(stamp.name for stamp in training + held_out) == sorted(stamp.name for stamp in alike)
    assert len(held_out) == pytest.approx(0.25 * len(alike), abs=2)
    for likeness in ("stems", "series"):
        ours, theirs = ({getattr(stamp, likeness) for stamp in side} for side in (training, held_out))
        assert ours.isdisjoint(theirs)


@pytest.fixture(scope="module")
def alike(package, tmp_path_factory):
    """Stamps among which are equal captions, nearly equal ones, a series, and both in a chain."""
    folder = tmp_path_factory.mktemp("alike") / "package"
    shutil.copytree(package, folder)
    write_stamp(folder, "plants/rose", "Una rosa.")
    write_stamp(folder, "plants/roses", "Due rose!")
    write_stamp(folder, "symbols/card-1", "LA ROSA")
    write_stamp(folder, "symbols/card-2", "Una carta.")
    write_stamp(folder, "animals/birds/gufo2", "Un altro gufo.")
    stamps, _ = read_stamps(folder, ITALIAN)
    by_name = {stamp.name: stamp for stamp in stamps}
    assert by_name["plants/rose"].stems == by_name["plants/roses"].stems
    assert by_name["symbols/card-1"].series == by_name["symbols/card-2"].series
    return stamps


needs_dpkg = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"),
    pytest.mark.skipif(INSTALLED.is_dir(), reason=f"{PACKAGE} is installed, nothing is fetched"),
]


@pytest.fixture
def archive(package, tmp_path, monkeypatch):
    """A real Debian package, and an ``apt-get`` that hands it out instead of downloading it."""
    root = tmp_path / "root"
    shutil.copytree(package, root / INSTALLED.relative_to("/"))
    (root / INSTALLED.relative_to("/") / "animals" / "moo.ogg").write_bytes(b"moo")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        f"Package: {PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: stamps\n"
    )
    subprocess.run(["dpkg-deb", "--build", root, tmp_path / "a.deb"], check=True, stdout=subprocess.DEVNULL)
    programs = tmp_path / "bin"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\ncp {tmp_path}/a.deb ./stamps_1_all.deb\n")
    apt.chmod(0o755)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return apt


class TestFetching:
    pytestmark = needs_dpkg

    def test_the_package_is_fetched_once_and_only_what_is_used_stays(self, archive, tmp_path):
        said = []
        killed = tmp_path / "cache" / "ndino" / f"{PACKAGE}.partial"
        killed.mkdir(parents=True)
        (killed / "half.deb").write_bytes(b"half")
        folder = find_stamps(said.append)
        assert len(said) == 1 and "161 MB" in said[0]
        assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".png", ".txt"}
        assert len(read_stamps(folder, ITALIAN)[0]) == 72 and not killed.exists()
        (tmp_path / "asked").unlink()
        assert find_stamps(said.append) == folder and len(said) == 1
        assert not (tmp_path / "asked").exists()

    def test_what_a_killed_start_left_running_is_waited_for(self, archive, tmp_path):
        whole = archive.read_text()
        archive.write_text(
            whole.replace("cp ", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done\ntouch late\ncp ")
        )
        start = [sys.executable, "-c", "from miniature.worlds.stamp_files import find_stamps; find_stamps()"]
        killed = subprocess.Popen(start, stdout=subprocess.DEVNULL)
        while not (tmp_path / "asked").exists():
            time.sleep(0.02)
        killed.kill()
        killed.wait()
        archive.write_text(whole)
        said = []

        def tell(line: str) -> None:
            said.append(line)
            (tmp_path / "go").touch()

        folder = find_stamps(tell)
        assert [line.split()[1] for line in said] == ["waiting", "downloading"]
        assert len(read_stamps(folder, ITALIAN)[0]) == 72
        assert not any(tmp_path.glob("cache/ndino/**/late"))

    def test_a_failed_download_says_why_and_leaves_nothing_that_looks_whole(self, archive, tmp_path):
        archive.write_text(
            "#!/bin/sh\necho 'W: slow' >&2\necho 'E: Unable to locate package' >&2\nexit 100\n"
        )
        with pytest.raises(
            StampsError, match=r"E: Unable to locate package \(remedy.*apt-get update"
        ) as error:
            find_stamps()
        assert PACKAGE in str(error.value) and VARIABLE in str(error.value)
        assert not (tmp_path / "cache" / "ndino" / PACKAGE).exists()

    def test_without_apt_get_the_package_is_named(self, archive, tmp_path, monkeypatch):
        archive.unlink()
        monkeypatch.setenv("PATH", str(archive.parent))
        with pytest.raises(StampsError, match=rf"no apt-get .*{PACKAGE}.*{VARIABLE}"):
            find_stamps()
