"""What the tasks ask in Spanish, and how they score answers in it."""

from __future__ import annotations

import pytest

from ndino.evaluation.tasks.exams_v import ExamsV
from ndino.evaluation.tasks.gqa import Gqa
from ndino.evaluation.tasks.mtvqa import Mtvqa
from ndino.evaluation.tasks.ok_vqa import OkVqa
from ndino.evaluation.tasks.pope import Pope
from ndino.evaluation.tasks.seed_bench import SeedBench

SHORT = "\nResponde con una sola palabra o frase."
LETTER = "\nResponde con la letra de la opción correcta."
POPE = {"question": "¿Hay un perro en la imagen?", "answer": "sí"}
GQA = {"sent": "¿De qué color es?", "label": '{"rojo": 1.0}'}
MTVQA = {"question": "¿Cuántos kilos?", "answer": "dos"}
OK_VQA = {"question": "¿Qué es?", "answers": ["un gato"] * 10}
CHOICES = {"choice_a": "rojo", "choice_b": "verde", "choice_c": "azul", "choice_d": "gris"}
SEED = {"question": "¿De qué color es?", "answer": "B", **CHOICES}
EXAM = {"question": "Resuelve el ejercicio.", "answer": "C"}


@pytest.mark.parametrize(
    ("task", "row", "prompt"),
    [
        (Pope, POPE, POPE["question"] + SHORT),
        (Gqa, GQA, GQA["sent"] + SHORT),
        (Mtvqa, MTVQA, MTVQA["question"] + SHORT),
        (OkVqa, OK_VQA, OK_VQA["question"] + SHORT),
        (SeedBench, SEED, f"{SEED['question']}\nA. rojo\nB. verde\nC. azul\nD. gris{LETTER}"),
        (ExamsV, EXAM, EXAM["question"] + LETTER),
    ],
)
def test_the_instruction_is_spanish(task, row, prompt):
    assert task("es").doc_to_text(row) == prompt


@pytest.mark.parametrize(
    ("task", "row", "right", "wrong"),
    [
        (Pope, POPE, ["Sí", "sí, hay un perro", "Sí."], ["No", "No hay ningún perro", "cane"]),
        (Pope, {**POPE, "answer": "no"}, ["No", "no, ninguno"], ["Sí", "Hay dos"]),
        (Gqa, GQA, ["rojo", "Es rojo", "De color rojo", "el rojo"], ["azul", "rosso", "no es rojo"]),
        (Mtvqa, MTVQA, ["dos", "2", "Dos."], ["due", "tres", ""]),
        (OkVqa, OK_VQA, ["gato", "un gato", "El gato"], ["perro", "un gatto"]),
        (SeedBench, SEED, ["B", "La respuesta correcta es B", "verde", "La opción B"], ["A", "No es B"]),
        (ExamsV, EXAM, ["C", "(c)", "La respuesta es C"], ["B", "Risposta: forse", "no es la C"]),
    ],
)
def test_right_and_wrong_answers_are_told_apart(task, row, right, wrong):
    def robust(answer: str) -> float:
        return task("es").process_results(row, [answer])["robust"]

    assert {answer: robust(answer) for answer in right} == dict.fromkeys(right, 1)
    assert {answer: robust(answer) for answer in wrong} == dict.fromkeys(wrong, 0)
