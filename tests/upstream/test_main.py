"""``python -m ndino.upstream``: what it prints and remembers where a tree cannot be fetched."""

from __future__ import annotations

import json

import pytest

from ndino.upstream.__main__ import main, set_up_trees
from ndino.upstream.errors import UpstreamError
from ndino.upstream.pins import LLAVA_NEXT


def test_a_tree_is_set_up_and_returned(house):
    assert set_up_trees(house.root, retry=False) == {LLAVA_NEXT: house.tree}
    assert (house.tree / "llava" / "train.py").exists()
    assert not (house.root / "third_party" / ".unreachable").exists()


def test_what_cannot_be_fetched_is_one_line_and_is_not_tried_again_by_itself(house, capsys):
    away = house.upstream.rename(house.upstream.with_name("away"))
    assert set_up_trees(house.root, retry=False) == {}
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and line.startswith(f"Out of reach: {LLAVA_NEXT} (")
    assert "all but ENGINE=llava-next works" in line and "make setup LLAVA_NEXT_URL=" in line
    note = house.root / "third_party" / ".unreachable"
    assert list(json.loads(note.read_text())) == [LLAVA_NEXT]
    away.rename(house.upstream)
    assert set_up_trees(house.root, retry=False) == {} and capsys.readouterr().out == ""
    assert set_up_trees(house.root, retry=True) == {LLAVA_NEXT: house.tree}


def test_an_error_is_one_line_on_standard_error(monkeypatch, capsys):
    def fail(**options) -> None:
        raise UpstreamError("upstream changed train.py")

    monkeypatch.setattr("ndino.upstream.__main__.setup", fail)
    assert main(["setup"]) == 1
    assert capsys.readouterr().err == "ndino.upstream: upstream changed train.py\n"


def test_an_unknown_tree_is_wrong_usage():
    with pytest.raises(SystemExit) as caught:
        main(["setup", "--only", "elsewhere"])
    assert caught.value.code == 2
