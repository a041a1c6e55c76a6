from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ndino.formats.llava_json import Conversation, ConversationError, read_conversations, write_conversations
from ndino.formats.prompts import MARKERS, Turn
from tests.properties import examples


def row(*values: str, image=None, **fields) -> dict:
    turns = [{"from": ("human", "gpt")[i % 2], "value": value} for i, value in enumerate(values)]
    return {"id": "1", **({"image": image} if image else {}), "conversations": turns, **fields}


def save(path: Path, rows: list) -> Path:
    lines = [json.dumps(item) for item in rows]
    path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{','.join(lines)}]")
    return path


@pytest.fixture(params=[".json", ".jsonl"])
def path(request, tmp_path: Path) -> Path:
    return tmp_path / f"data{request.param}"


def test_reads_single_pairs_text_only_rows_and_conversations(path):
    save(
        path,
        [
            row("<image>\nDov'è?", "A Bari.", image="a.png"),
            row("<image> e <image>?", "Uguali.", image=["a.png", "b.png"], id=7, source="nlvr2"),
            row("Ciao", "Ciao!", "Chi sei?", "Un modello."),
        ],
    )
    assert list(read_conversations(path)) == [
        Conversation("1", ("a.png",), (Turn("user", "<image>\nDov'è?"), Turn("assistant", "A Bari.")), 1),
        Conversation(
            "7", ("a.png", "b.png"), (Turn("user", "<image> e <image>?"), Turn("assistant", "Uguali.")), 2
        ),
        Conversation(
            "1",
            (),
            (
                Turn("user", "Ciao"),
                Turn("assistant", "Ciao!"),
                Turn("user", "Chi sei?"),
                Turn("assistant", "Un modello."),
            ),
            3,
        ),
    ]


FAULTS = [
    ("text", "expected an object, found str"),
    ({**row("q", "a"), "id": ""}, "no id"),
    ({"conversations": []}, "no id"),
    ({"id": "1"}, "no conversations"),
    ({"id": "1", "conversations": []}, "no conversations"),
    ({"id": "1", "conversations": ["q"]}, "message 1 is from None"),
    (
        {"id": "1", "conversations": [{"from": "gpt", "value": "a"}]},
        "message 1 is from gpt (remedy: it must be from human",
    ),
    ({"id": "1", "conversations": [{"from": "system", "value": "a"}]}, "message 1 is from 'system'"),
    ({"id": "1", "conversations": [{"from": ["human"], "value": "a"}]}, "message 1 is from ['human']"),
    ({"id": "1", "conversations": [{"from": "human", "value": "a"}] * 2}, "message 2 is from human"),
    (row("q"), "the last message is from human (remedy: end with gpt's answer"),
    (row("q", " \n"), "message 2 is empty"),
    (row("q", 5), "message 2 is empty or not text"),
    (row("<image>", "a"), "1 <image> but 0 image(s)"),
    (row("q", "a", image="a.png"), "0 <image> but 1 image(s)"),
    (row("<image>", "a", image=["a.png", "b.png"]), "1 <image> but 2 image(s)"),
    (row("<image>", "<image>", image="a.png"), "message 2 of gpt holds <image>"),
    (row("<image>", "a", image=[""]), "an image's file name is empty"),
    ({**row("q", "a"), "image": []}, "image is neither a file name"),
    ({**row("<image>", "a"), "image": 3}, "image is neither a file name"),
    *((row("q", f"a {marker}"), f"message 2 contains the marker {marker}") for marker in MARKERS),
    # They come to be when the image is moved to the front.
    (row("a<|eot<image>_id|>", "a", image="a.png"), "message 1 contains the marker <|eot_id|>"),
    (row("a<im<image>age>", "a", image="a.png"), "message 1 contains the marker <image>"),
]


@pytest.mark.parametrize(("faulty", "reason"), FAULTS)
def test_an_invalid_row_is_named_with_reason_and_remedy(path, faulty, reason):
    save(path, [row("q", "a"), faulty, row("q", "a")])
    with pytest.raises(ConversationError) as caught:
        list(read_conversations(path))
    message = str(caught.value)
    assert message.startswith(f"{path} row 2: {reason}")
    assert message.endswith(")")
    assert "\n" not in message

    rejects: list[ConversationError] = []
    assert [good.row for good in read_conversations(path, rejects=rejects)] == [1, 3]
    assert [str(error) for error in rejects] == [message]


def test_half_of_a_surrogate_pair_is_not_text(tmp_path):
    with pytest.raises(ConversationError, match="message 2 holds half of a surrogate pair"):
        list(read_conversations(save(tmp_path / "data.jsonl", [row("q", "\ud800")])))


def test_images_must_exist_where_a_folder_is_given(path, tmp_path):
    (tmp_path / "a.png").write_bytes(b"not opened")
    save(
        path,
        [
            row("<image>", "a", image="a.png"),
            row("<image>", "a", image="b.png"),
            row("<image>", "a", image="x" * 999),
        ],
    )
    assert len(list(read_conversations(path))) == 3
    rejects: list[ConversationError] = []
    assert [good.row for good in read_conversations(path, image_folder=tmp_path, rejects=rejects)] == [1]
    assert [error.row for error in rejects] == [2, 3]
    assert f"image b.png is not in {tmp_path}" in str(rejects[0])


def test_a_broken_line_rejects_one_row(tmp_path):
    path = tmp_path / "data.jsonl"
    good = json.dumps(row("perché", "sì"), ensure_ascii=False).encode()
    path.write_bytes(b"\n".join([good, b"", b'{"id": ', good, b'{"id": "\xff"}', b"[" * 100_000, good]))
    rejects: list[ConversationError] = []
    assert [item.row for item in read_conversations(path, rejects=rejects)] == [1, 4, 7]
    assert [error.row for error in rejects] == [3, 5, 6]
    assert all("broken JSON" in str(error) for error in rejects)


def test_a_key_that_is_given_twice_rejects_its_row(tmp_path):
    good = json.dumps(row("q", "a"))
    twice = good.replace('{"from": "gpt"', '{"from": "human", "from": "gpt"')
    (tmp_path / "data.jsonl").write_text("\n".join([good, twice, good]))
    (tmp_path / "data.json").write_text(f"[{good}, {twice}]")
    rejects: list[ConversationError] = []
    assert [item.row for item in read_conversations(tmp_path / "data.jsonl", rejects=rejects)] == [1, 3]
    assert "row 2: broken JSON: the key 'from' is given twice (remedy: " in str(rejects[0])
    with pytest.raises(ConversationError, match=r"row 2: broken JSON: the key 'from' is given twice"):
        list(read_conversations(tmp_path / "data.json"))


def test_files_as_other_programs_save_them(tmp_path):
    rows = [row("dove?", "perché"), row("chi?", "sì")]
    lines = "\n".join(json.dumps(each, ensure_ascii=False) for each in rows)
    whole = json.dumps(rows, ensure_ascii=False)
    for name, text in {"a.jsonl": lines, "a.json": whole, "a.JSONL": lines, "b.JSON": whole}.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert [item.row for item in read_conversations(tmp_path / name)] == [1, 2]
    for name, text in {"a.jsonl": lines, "a.json": whole}.items():
        (tmp_path / name).write_text(text, encoding="utf-16")
        with pytest.raises(ConversationError, match=rf"{name}: is UTF-16 text \(remedy: save it as UTF-8\)"):
            list(read_conversations(tmp_path / name, rejects=[]))
        (tmp_path / name).write_text(text, encoding="latin-1")
        with pytest.raises(
            ConversationError, match=rf"{name} row \d: .*UTF.*\(remedy: save the file as UTF-8\)"
        ):
            list(read_conversations(tmp_path / name))


def test_an_image_in_place_of_its_name_does_not_fill_the_screen(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({**row("<image>\nDove?", "Qui."), "image": "/9j/" + "A" * 50_000}))
    with pytest.raises(
        ConversationError, match=r"image holds 50,004 characters of data in place of"
    ) as caught:
        list(read_conversations(path, image_folder=tmp_path))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("tail", ["", ', {"id": "2", "conv', ", }]", "]]", "] [1]"])
def test_a_broken_list_is_always_an_error(tmp_path, tail):
    path = tmp_path / "data.json"
    path.write_text("[" + json.dumps(row("q", "a")) + tail)
    rejects: list[ConversationError] = []
    with pytest.raises(ConversationError, match=r"data\.json row \d: broken JSON"):
        list(read_conversations(path, rejects=rejects))


@pytest.mark.parametrize("content", ['{"id": "1"}', "3"])
def test_a_json_file_that_is_not_a_list_is_refused(tmp_path, content):
    path = tmp_path / "data.json"
    path.write_text(content)
    with pytest.raises(ConversationError, match="expected a list of rows"):
        list(read_conversations(path))


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(ConversationError, match=r"name it \.json or \.jsonl"):
        list(read_conversations(tmp_path / "data.csv"))


def test_streams(path):
    write_conversations(path, (row("q", "a" * 1000, id=str(i)) for i in range(20_000)))
    tracemalloc.start()
    assert sum(1 for _ in read_conversations(path)) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 10


def test_writing_refuses_what_reading_rejects_and_keeps_the_old_file(path):
    assert write_conversations(path, [row("q", "a")]) == 1
    with pytest.raises(ConversationError, match="row 2"):
        write_conversations(path, [row("q", "b"), row("q")])
    assert [item.turns[1].text for item in read_conversations(path)] == ["a"]
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_file_is_an_empty_list(path):
    assert write_conversations(path, []) == 0
    assert list(read_conversations(path)) == []


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
plain = texts.filter(lambda text: "<image>" not in text)


@st.composite
def rows(draw) -> dict:
    images = draw(st.lists(texts, max_size=3))
    turns = draw(st.lists(plain, min_size=2, max_size=6).filter(lambda values: len(values) % 2 == 0))
    turns[0] += "<image>" * len(images)
    return row(*turns, image=images[0] if len(images) == 1 else images, id=draw(texts))


@examples(60)
@given(records=st.lists(rows(), max_size=5), suffix=st.sampled_from([".json", ".jsonl"]))
@example(records=[row("q", "a"), row("q", f"a{MARKERS[0]}")], suffix=".json")
def test_what_is_written_is_read_back_or_refused_for_its_marker(tmp_path_factory, records, suffix):
    path = tmp_path_factory.mktemp("round") / f"data{suffix}"
    marked = [
        f"row {number}: message {position} contains the marker {marker}"
        for number, record in enumerate(records, start=1)
        for position, turn in enumerate(record["conversations"], start=1)
        for marker in MARKERS
        if marker in turn["value"]
    ]
    if marked:
        with pytest.raises(ConversationError, match=re.escape(marked[0])):
            write_conversations(path, records)
        return
    assert write_conversations(path, records) == len(records)
    back = list(read_conversations(path))
    assert [item.id for item in back] == [record["id"] for record in records]
    for item, record in zip(back, records, strict=True):
        assert [turn.text for turn in item.turns] == [turn["value"] for turn in record["conversations"]]
        assert len(item.images) == record["conversations"][0]["value"].count("<image>")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "image", "conversations", "from", "value"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@examples(150)
@given(records=st.lists(json_values, max_size=4), suffix=st.sampled_from([".json", ".jsonl"]))
def test_every_row_becomes_a_conversation_or_a_reject(tmp_path_factory, records, suffix):
    path = save(tmp_path_factory.mktemp("any") / f"data{suffix}", records)
    rejects: list[ConversationError] = []
    good = list(read_conversations(path, rejects=rejects))
    assert sorted([item.row for item in good] + [error.row for error in rejects]) == list(
        range(1, len(records) + 1)
    )


@examples(150)
@given(
    content=st.binary(max_size=200) | st.text(alphabet='[]{}",:idtrue0 \n').map(str.encode),
    suffix=st.sampled_from([".json", ".jsonl"]),
)
def test_arbitrary_bytes_raise_only_our_error(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("bytes") / f"data{suffix}"
    path.write_bytes(content)
    try:
        list(read_conversations(path))
    except ConversationError as error:
        assert str(path) in str(error)
