"""The benchmark of how well languages are told, on a few captions and a catalogue."""

from __future__ import annotations

import json
import sys

from benchmarks import fidelity

ITALIAN = "Il cane dorme accanto alla porta della vecchia casa."
ENGLISH = "The dog is sleeping next to the door of the old house."


def test_sentences_are_counted_by_language_and_length(tmp_path, monkeypatch, capsys):
    (tmp_path / "animals").mkdir()
    (tmp_path / "animals" / "dog.txt").write_text(f"{ENGLISH}\nit.utf8={ITALIAN}\nes.utf8={ENGLISH}\n")
    (tmp_path / "animals" / "pizza.txt").write_text("A pizza.\nit.utf8=Una pizza.\nca.utf8=\n")
    monkeypatch.setattr(sys, "argv", ["fidelity", str(tmp_path), str(tmp_path / "nowhere")])
    assert fidelity.main() == 0
    *shown, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    found = result["texts"]
    assert result["ratio"] == 1.0 and result["conditions"]["told"] == 2
    assert found["it"]["40"] == {"right": 1} and sum(found["it"]["8"].values()) == 1
    assert found["en"]["40"] == {"right": 1} and sum(found["en"]["1"].values()) == 1
    # An English caption that was not translated is no Spanish one.
    assert not any(found["es"].values()) and not any(found["ca"].values())
    assert "| it | from 40 | 1 | 100.0% | 0 |" in shown
