"""The README.md of a data folder."""

from __future__ import annotations

import yaml

from ndino.data.framework.card import card, sources

MANIFEST = {
    "source": "wit",
    "lang": "it",
    "rows": {"total": 1200, "sources": {"wit/caption": 1000, "wit/section": 200}},
    "images": 1100,
    "settings": {"limit": None},
}


def test_the_sources_that_cards_quote():
    for name, source in sources().items():
        assert set(source) == {"title", "url", "licence"}, name
        assert source["url"].startswith("https://")
    manifest = {
        "source": "mix/pt",
        "lang": ["en", "it"],
        "rows": {"total": 1, "sources": {"wit/caption": 1}},
        "images": 1,
        "settings": {},
        "rejects": {"a | b": 2},
        "translator": "apertium",
    }
    text = card(manifest)
    assert sources()["wit"]["licence"] in text and "| a \\| b | 2 |" in text and "`apertium`" in text
    assert yaml.safe_load(text.split("---")[1])["language"] == ["en", "it"]


def test_rows_images_inputs_and_settings() -> None:
    inputs = [{"file": "a.tsv", "sha256": "ab12"}, {"file": "b.parquet", "sha256": "cd34"}]
    text = card({**MANIFEST, "inputs": inputs})
    assert "1,200 rows in `data.jsonl`, 1,100 images" in text
    assert "| wit/caption | 1,000 |" in text
    assert "| a.tsv | ab12 |" in text and "| b.parquet | cd34 |" in text
    assert '`{"limit": null}`' in text
    assert yaml.safe_load(text.split("---")[1]) == {
        "language": "it",
        "task_categories": ["image-text-to-text"],
    }


def test_what_does_not_apply_is_left_out() -> None:
    text = card({**MANIFEST, "rejects": {}, "translator": None})
    assert "Left out" not in text and "Translated" not in text and "Made from" not in text


def test_an_unknown_source_is_named_without_a_licence() -> None:
    text = card({**MANIFEST, "rows": {"total": 1, "sources": {"own/part": 1}}})
    assert "**own**" in text and "Licence" not in text


def test_a_folder_without_rows_still_names_its_source() -> None:
    text = card({**MANIFEST, "rows": {"total": 0, "sources": {}}})
    assert sources()["wit"]["title"] in text


def test_the_quality_of_translations_is_a_table() -> None:
    bins = [0, 0, 0, 0, 1, 0, 0, 1000, 0, 0]
    counted = {"wit/caption": {"scored": 1001, "mean": 0.749, "histogram": bins}}
    text = card({**MANIFEST, "quality": {"scorer": "chrF", "sources": counted}})
    assert "Quality of the translations by `chrF`" in text
    assert "| source | mean | 0.0 | 0.1 | 0.2 | 0.3 | 0.4 | 0.5 | 0.6 | 0.7 | 0.8 | 0.9 |" in text
    assert "| wit/caption | 0.749 | 0 | 0 | 0 | 0 | 1 | 0 | 0 | 1,000 | 0 | 0 |" in text
    assert "Quality" not in card(MANIFEST)


def test_the_translators_of_a_mix() -> None:
    assert "Translated by `apertium`, `served x`.\n" in card(
        MANIFEST | {"translator": ["apertium", "served x"]}
    )
