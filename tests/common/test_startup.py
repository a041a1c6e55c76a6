"""Commands under a locale that is not UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.surroundings import latin1_locale

ROOT = Path(__file__).parents[2]
SEEN = """
import json, locale, os, subprocess, sys
from ndino.common.startup import prepare_process
prepare_process()
child = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
print(json.dumps({
    "arguments": sys.argv[1:], "stdin": sys.stdin.read(), "mode": sys.flags.utf8_mode,
    "names": sys.getfilesystemencoding(), "files": locale.getpreferredencoding(False),
    "library": locale.nl_langinfo(locale.CODESET),
    "child": subprocess.run(child, capture_output=True, text=True).stdout.strip(),
    "left": os.environ.get("NDINO_STARTED_AGAIN"),
}))
print("\\u2212\\u2191\\u22c4\\udce8\\ud83d")
"""


def run(script: str, environment: dict[str, str], *arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The lines that a script prints, which is given "è" on its standard input."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))
    }
    done = subprocess.run(
        [sys.executable, *flags, "-c", script, *arguments],
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        input="è".encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8").splitlines()


@pytest.fixture(scope="session")
def latin1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return latin1_locale(tmp_path_factory.mktemp("locales"))


def test_a_command_under_a_latin_1_locale_reads_and_writes_utf_8(latin1: dict[str, str]) -> None:
    seen, signs = run(SEEN, latin1, "città/perché.png", "--flag")
    assert json.loads(seen) == {
        "arguments": ["città/perché.png", "--flag"],
        "stdin": "è",
        "mode": 1,
        "names": "utf-8",
        "files": "utf-8",
        "library": "UTF-8",
        "child": "utf-8",
        "left": None,
    }
    assert signs == r"−↑⋄\udce8\ud83d"


def test_a_process_that_cannot_have_utf_8_starts_again_once_and_prints_what_it_can(
    latin1: dict[str, str],
) -> None:
    no_locale = "import ndino.common.startup as startup\nstartup._utf8_locale = lambda: None\n"
    lines = run(no_locale + SEEN, latin1, flags=("-X", "utf8=0"))
    assert json.loads(lines[0])["mode"] == 0
    assert lines[1] == r"\u2212\u2191\u22c4\udce8\ud83d"


def test_under_a_utf_8_locale_nothing_is_started_again() -> None:
    script = "import os\nos.execv = None\n" + SEEN
    assert json.loads(run(script, {"LC_ALL": "C.UTF-8"})[0])["mode"] == 0


def test_without_a_utf_8_locale_only_children_need_another() -> None:
    # Python itself takes C for UTF-8; Apertium and Tesseract do not.
    seen = json.loads(run("import os\nos.execv = None\n" + SEEN, {"LC_ALL": "C"})[0])
    assert seen["names"] == seen["child"] == "utf-8"
