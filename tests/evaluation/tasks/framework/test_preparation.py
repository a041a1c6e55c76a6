from __future__ import annotations

import pytest
from datasets import Dataset
from PIL import Image

from ndino.evaluation.shuffle import VARIABLE
from ndino.evaluation.tasks.framework.preparation import (
    TaskDataError,
    document_images,
    prepare,
    questions,
    require,
    require_columns,
    require_letters,
    text_check,
)
from ndino.formats.questions.table import Questions, read_questions

SOURCE = "owner/Set"
RED, BLUE = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))


def rows(**columns: list) -> Dataset:
    return Dataset.from_dict(columns)


def found(**columns: list) -> Questions:
    return questions(rows(**columns), SOURCE)


def require_texts(values: list, *, several: bool = False) -> None:
    name = "answers" if several else "answer"
    columns = found(**{name: values})
    require(columns, text_check(columns, name, several=several))


def test_a_missing_column_and_missing_rows_are_named():
    with pytest.raises(TaskDataError, match="owner/Set: no column answer among question"):
        require_columns(found(question=["?"]), SOURCE, "question", "answer")
    with pytest.raises(TaskDataError, match="owner/Set: no rows"):
        questions(rows(question=[]), SOURCE)


def test_values_that_are_no_texts_are_named_with_their_row():
    with pytest.raises(TaskDataError, match="owner/Set row 2: answer is None, not a text"):
        require_texts(["sì", None])
    with pytest.raises(
        TaskDataError, match=r"row 1: answers is 'sì', not a list of texts \(remedy: write a list"
    ):
        require_texts(["sì"], several=True)
    with pytest.raises(TaskDataError, match=r"row 1: answers is None, not a list of texts \(remedy: fill it"):
        require_texts([None], several=True)
    require_texts([["sì"], ["sì", "no"]], several=True)


@pytest.mark.parametrize("nothing", ["", "   ", "\n"])
def test_empty_texts_are_named_with_all_their_rows(nothing):
    with pytest.raises(TaskDataError, match=r"Set rows 1, 3: answer is empty"):
        require_texts([nothing, "sì", nothing])
    with pytest.raises(TaskDataError, match="owner/Set row 2: answers is empty"):
        require_texts([["sì"], [], ["no"]], several=True)
    with pytest.raises(TaskDataError, match="owner/Set row 1: answers is empty"):
        require_texts([[nothing]], several=True)


def test_of_many_faulty_rows_ten_are_named_and_the_rest_counted():
    with pytest.raises(
        TaskDataError, match=r"Set rows 1, 2, .*, 10: answer is empty[^;]*; and 3 more \(remedy: "
    ):
        require_texts([""] * 13)


def test_the_faults_of_all_fields_are_named_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / SOURCE).mkdir(parents=True)
    RED.save(tmp_path / SOURCE / "a.png")
    lines = ["{broken", *('{"question": "", "answer": "sì", "image": "a.png"}' for _ in range(12))]
    lines += [
        '{"question": "?", "answer": "", "image": "b.png"}',
        '{"question": "?", "n": 1, "image": "a.png"}',
    ]
    (tmp_path / SOURCE / "test.jsonl").write_text("\n".join(lines))
    with pytest.raises(TaskDataError) as refused:
        prepare(
            read_questions(tmp_path / SOURCE, "test"), SOURCE, "question", "answer", rules={"n": no_number}
        )
    said = str(refused.value)
    assert "test.jsonl row 1: broken" in said
    assert "; rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11: question is empty: ''; and 2 more; row 14: answer" in said
    assert "; row 15: answer is None, not a text; row 15: n is 1; row 14: image b.png is not in " in said
    assert said.count("test.jsonl") == 1 and said.count("(remedy: ") == 1
    assert "; fill it in or remove the row; leave it out; " in said


def test_where_no_row_can_be_read_the_rows_are_named_and_not_their_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / SOURCE).mkdir(parents=True)
    (tmp_path / SOURCE / "test.jsonl").write_text("{broken\n{broken\n")
    with pytest.raises(TaskDataError, match=r"test\.jsonl rows 1, 2: broken JSON"):
        prepare(read_questions(tmp_path / SOURCE, "test"), SOURCE, "question", "answer")


def no_number(value: object) -> tuple[str, str] | None:
    return None if value is None else (f"n is {value}", "leave it out")


def test_texts_of_options_in_place_of_letters_are_rejected_unless_one_row_has_a_letter():
    with pytest.raises(TaskDataError, match="no answer is a letter from A to D; row 1 has 'un gatto'"):
        require_letters(found(answer=["un gatto", "due"]), SOURCE, "ABCD")
    require_letters(found(answer=["un gatto", " d "]), SOURCE, "ABCD")


@pytest.mark.parametrize("column", ["image", "file_name"])
def test_names_of_files_become_images(tmp_path, monkeypatch, column):
    (tmp_path / SOURCE).mkdir(parents=True)
    RED.save(tmp_path / SOURCE / "a.png")
    monkeypatch.chdir(tmp_path)
    prepared = prepare(rows(question=["?"], **{column: ["a.png"]}), SOURCE, "question")
    (image,) = document_images(prepared[0])
    assert image.mode == "RGB" and image.getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(TaskDataError, match=r"owner/Set row 1: image none\.png is not in .*Set \(remedy: "):
        prepare(rows(question=["?"], **{column: ["none.png"]}), SOURCE, "question")


def test_a_name_that_no_file_can_have_is_a_missing_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskDataError, match=r"row 1: image holds [\d,]+ characters of data in place of"):
        prepare(rows(question=["?"], image=["QUJD" * 1000]), SOURCE, "question")


def test_images_are_exchanged_only_for_the_control(monkeypatch):
    data = rows(question=["1", "2"], image=[RED, BLUE])

    def first() -> tuple:
        return document_images(prepare(data, SOURCE, "question")[0])[0].getpixel((0, 0))

    monkeypatch.delenv(VARIABLE, raising=False)
    assert first() == (255, 0, 0)
    monkeypatch.setenv(VARIABLE, "1")
    assert first() == (0, 0, 255)
    with pytest.raises(TaskDataError, match="owner/Set: 1 distinct image"):
        prepare(rows(question=["1"], image=[RED]), SOURCE, "question")
