from __future__ import annotations

import pytest

from ndino.upstream.errors import UpstreamError
from ndino.upstream.pins import LLAVA_NEXT, LMMS_EVAL, read_pins

GOOD = f'[LLaVA-NeXT]\nurl = "https://example.org/x.git"\ncommit = "{"a" * 40}"\n'


def test_our_own_pins():
    pins = read_pins()
    assert list(pins) == [LLAVA_NEXT, LMMS_EVAL]
    assert pins[LLAVA_NEXT].commit == "c121c20c541220e79add65949bbbf7b9febde602"
    assert pins[LMMS_EVAL].release == "0.7.3"
    assert [pin.setting for pin in pins.values()] == ["LLAVA_NEXT_URL", "LMMS_EVAL_URL"]
    assert all(pin.url.startswith("https://") for pin in pins.values())


def test_the_setting_takes_the_place_of_the_url(tmp_path, monkeypatch):
    (tmp_path / "upstream.toml").write_text(GOOD)
    pin = read_pins(tmp_path)[LLAVA_NEXT]
    monkeypatch.delenv("LLAVA_NEXT_URL", raising=False)
    assert pin.source == "https://example.org/x.git"
    monkeypatch.setenv("LLAVA_NEXT_URL", "git@example.org:y.git")
    assert pin.source == "git@example.org:y.git"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clone").mkdir()
    monkeypatch.setenv("LLAVA_NEXT_URL", "clone")
    assert pin.source == str(tmp_path / "clone")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            GOOD.replace("a" * 40, "c121c20"),
            r"\[LLaVA-NeXT\] commit is 'c121c20' \(remedy: give a full commit of 40",
        ),
        (GOOD.replace("url =", "urls ="), "unknown field urls"),
        ("[LLaVA-NeXT]\n", "url is None"),
        (GOOD + '[LLaVA-NeXT.sha256]\n"a.py" = "abc"\n', r"sha256 of a.py is 'abc' \(remedy: give 64"),
        (
            GOOD + f'[LLaVA-NeXT.sha256]\n"a.py" = "{"a" * 64}"\n',
            r"a\.py is in one of sha256 .* and patched .* \(remedy: add it",
        ),
        (
            GOOD.replace("LLaVA-NeXT", "lmms-eval") + "release = 0.7\n",
            r"release is 0.7 \(remedy: give a version",
        ),
        (GOOD.replace("LLaVA-NeXT", "lmms-eval"), r"release is None \(remedy: give a version"),
        (GOOD + 'release = "0.7.3"\n', "unknown field release"),
        ('[LLaVA]\nurl = "x"\n', r"unknown \[LLaVA\]"),
        ("[LLaVA-NeXT\n", "cannot be read"),
    ],
)
def test_what_is_wrong_in_upstream_toml_is_named(tmp_path, text, what):
    (tmp_path / "upstream.toml").write_text(text)
    with pytest.raises(UpstreamError, match=what) as error:
        read_pins(tmp_path)
    assert str(tmp_path / "upstream.toml") in str(error.value)


def test_a_missing_upstream_toml_is_named(tmp_path):
    with pytest.raises(UpstreamError, match=r"upstream\.toml cannot be read"):
        read_pins(tmp_path)
