from __future__ import annotations

from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from ndino.evaluation.tasks.framework.readiness import (
    QUESTIONS,
    NeededDataset,
    other_language_note,
    require_in_folder,
)
from ndino.formats.hub_folders import write_split
from tests.evaluation.benchmarks import draw_image, write_benchmarks
from tests.languages.copies import language_file

ASKED = {
    "it": [
        "Di che colore è il divano?", "C'è un cane nell'immagine?", "Che cosa tiene in mano l'uomo?",
        "Quante persone ci sono?", "Dove si trova la scena?", "Che sport stanno praticando?",
        "C'è una bottiglia nell'immagine?", "Il gatto è a destra o a sinistra del cane?",
        "Qual è il numero sulla maglia?", "Che marca è l'automobile?",
    ],
    "es": [
        "¿De qué color es el sofá?", "¿Hay un perro en la imagen?", "¿Qué sostiene el hombre en la mano?",
        "¿Cuántas personas hay?", "¿Dónde tiene lugar la escena?", "¿Qué deporte practican?",
        "¿Hay una botella en la imagen?", "¿El gato está a la derecha o a la izquierda del perro?",
        "¿Cuál es el número de la camiseta?", "¿De qué marca es el coche?",
    ],
    "en": [
        "What colour is the sofa?", "Is there a dog in the image?", "What is the man holding in his hand?",
        "How many people are there?", "Where does the scene take place?", "Which sport are they playing?",
        "Is there a bottle in the image?", "Is the cat on the right or on the left of the dog?",
        "What is the number on the shirt?", "Which brand is the car?",
    ],
}  # fmt: skip
NAMES = {"it": "Italian", "es": "Spanish", "en": "English"}


@pytest.mark.parametrize("code", ["it", "es"])
@pytest.mark.parametrize("asked", ["it", "es", "en"])
def test_questions_in_another_language_are_named_with_it(asked, code):
    note = other_language_note("pope-x", "x/POPE", ASKED[asked], code)
    if asked == code:
        assert note is None
    else:
        assert note.startswith(f"task pope-x: the questions of x/POPE seem to be {NAMES[asked]}, not ")


def test_where_it_cannot_be_told_nothing_is_said():
    assert other_language_note("t", "d", ASKED["en"][:1] * 50, "it") is None
    assert other_language_note("t", "d", ASKED["en"], "tlh") is None
    # A few that were left in English do not make the rest English.
    assert other_language_note("t", "d", [*ASKED["it"], *ASKED["en"][:3]], "it") is None
    assert other_language_note("t", "d", [*ASKED["it"][:2], ASKED["en"][1]], "it") is None


@pytest.mark.parametrize("code", ["it", "es"])
def test_a_few_short_questions_are_enough_and_those_of_the_language_are_never_named(code):
    for asked in {*ASKED} - {code}:
        for start in (0, 4):
            note = other_language_note("t", "d", ASKED[asked][start : start + 4], code)
            assert note is not None and f"seem to be {NAMES[asked]}, not " in note
    for number in (1, 2, 3):
        for start in range(0, len(ASKED[code]), number):
            assert other_language_note("t", "d", ASKED[code][start : start + number], code) is None


def test_no_more_questions_are_read_than_are_judged():
    asked = iter([f"{text} {number}" for number in range(100) for text in ASKED["it"]])
    assert other_language_note("t", "d", asked, "es") is not None
    assert len([*asked]) == 100 * len(ASKED["it"]) - QUESTIONS


def test_the_tasks_of_a_data_set_in_another_language_are_noted(tmp_path, monkeypatch):
    data = write_benchmarks(tmp_path, rows=4, code="es")
    rows = [
        {"id": str(n), "image": draw_image(n), "question": text, "answer": "x"}
        for n, text in enumerate(ASKED["it"])
    ]
    folder = data / "swap-uniba" / "MTVQA_ES"
    for file in [*folder.rglob("*.parquet"), folder / "README.md"]:
        file.unlink()
    from datasets import Image, Value

    text = Value("string")
    write_split(folder, "test", rows, {"id": text, "image": Image(), "question": text, "answer": text})
    monkeypatch.chdir(data)
    benchmarks = Benchmarks(["mtvqa-es", "gqa-es"], data=data)
    benchmarks.note_other_languages(benchmarks.names)
    (note,) = benchmarks.notes
    assert note.startswith(
        "task mtvqa-es: the questions of swap-uniba/MTVQA_ES seem to be Italian, not Spanish"
    )


def test_a_language_that_is_asked_for_as_a_whole_does_without_the_data_it_lacks(tmp_path, monkeypatch):
    data = write_benchmarks(tmp_path / "data", rows=4, code="es")
    (data / "swap-uniba" / "MTVQA_ES").rename(tmp_path / "mtvqa")
    monkeypatch.chdir(data)
    benchmarks = Benchmarks(["ndino-es"], data=data)
    assert len(benchmarks.names) == 6 and benchmarks.groups == {"ndino-es": benchmarks.names}
    assert benchmarks.notes == (
        f"left out, since their data are not in {data}: mtvqa-es (swap-uniba/MTVQA_ES)",
    )
    remedy = "ndino data benchmarks --lang es, or ndino data native SET --lang es"
    with pytest.raises(SetupError, match=rf"has no swap-uniba/MTVQA_ES/ for the task mtvqa-es .*{remedy}"):
        Benchmarks(["ndino-es", "mtvqa-es"], data=data)
    with pytest.raises(SetupError, match=rf"has no crux82/gqa-es/ for the task gqa-es.*{remedy}"):
        Benchmarks(["gqa-es"], data=tmp_path)
    with pytest.raises(SetupError, match=r"has no .*GQA/ for the task gqa-es, .*WILD_ES/"):
        Benchmarks(["ndino-es"], data=tmp_path)
    # What is published is not left out.
    with pytest.raises(SetupError, match="has no swap-uniba/MTVQA_IT/ for the task mtvqa-it"):
        Benchmarks(["mtvqa-it", "ndino-es"], data=data)


@pytest.mark.parametrize(("asked", "there", "name"), [("es", "it", "Italian"), ("it", "es", "Spanish")])
def test_where_data_lack_those_in_another_language_are_named(tmp_path, monkeypatch, asked, there, name):
    monkeypatch.chdir(write_benchmarks(tmp_path, rows=4, code=there))
    said = (
        rf"has no swap-uniba/POPE_{asked.upper()}/ for the task pope-{asked}; it has data in {name} "
        rf"\(remedy: --lang {there} for what is there \(LANGUAGE= of make\); else put it there "
    )
    with pytest.raises(SetupError, match=said):
        Benchmarks([f"pope-{asked}"], data=tmp_path)
    with pytest.raises(SetupError, match=rf"gqa-{asked}/ .*; it has data in {name} \("):
        Benchmarks([f"ndino-{asked}"], data=tmp_path)


def test_a_half_written_language_among_the_data_hides_nothing_of_another(tmp_path, monkeypatch):
    (tmp_path / "languages").mkdir()
    language_file(monkeypatch, tmp_path / "languages", "q-z", like="es")
    (tmp_path / "POPE_Q-Z").mkdir()
    lacking = [NeededDataset("POPE_IT", "pope-it", "it", on_hub=True)]
    for text, name in (("name: Quzu", "Quzu"), ("name: 5", "q-z"), ("name: [", "q-z")):
        (tmp_path / "languages" / "q-z.yaml").write_text(text)
        with pytest.raises(
            SetupError, match=rf"has no POPE_IT/ .*; it has data in {name} \(remedy: --lang q-z "
        ):
            require_in_folder(lacking, tmp_path)


def test_data_of_other_languages_are_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remedy = "ndino data benchmarks --lang es, .* with --data"
    with pytest.raises(
        UsageError, match=rf"pope-es: swap-uniba/POPE_ES is not on the hub \(remedy: .*{remedy}"
    ):
        Benchmarks(["pope-es"])
    assert Benchmarks(["pope-it"]).names == ["pope-it"]
    assert Path.cwd() == tmp_path
