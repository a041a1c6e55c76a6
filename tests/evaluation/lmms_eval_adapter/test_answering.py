from __future__ import annotations

from pathlib import Path

from lmms_eval.api.instance import GenerationResult, Instance
from PIL import Image

from ndino.common.images import image_sha256
from ndino.evaluation.answer_store import AnswerStore
from ndino.evaluation.lmms_eval_adapter.answering import (
    answer_requests,
    attach_store,
    image_digests,
    request_key,
)
from tests.evaluation.answerer import Answerer

GREEDY = {"max_new_tokens": 16, "temperature": 0.0, "do_sample": False, "until": ["\n\n"]}
RED, BLUE = (Image.new("RGB", (4, 6), colour) for colour in ("red", "blue"))
MODEL = Answerer(lambda question, image: "")


def request(question: str = "Che cosa?", shown: object = (RED,), **settings) -> Instance:
    MODEL.task_dict = {"task": {"test": [None]}}
    arguments = (question, {**GREEDY, **settings}, lambda document: shown, 0, "task", "test")
    return Instance("generate_until", arguments, 0, {"task": "task", "doc_id": 0, "repeats": 1})


def key(identity: str = "weights 1", **changed) -> str | None:
    return request_key(MODEL, request(**changed), identity)


class Recorder:
    """Answers with the number of the call, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, requests: list[Instance]) -> list[str]:
        self.asked.append([request.args[0] for request in requests])
        return [f"{len(self.asked)}: {request.args[0]}" for request in requests]


def put(requests: list[Instance], store: AnswerStore | None, size: int = 2) -> tuple[list[str], list, list]:
    answer, progress = Recorder(), []
    answers = answer_requests(
        MODEL, requests, answer, store=store, identity="w", size=size, on_answered=progress.append
    )
    return answers, answer.asked, progress


def test_whatever_an_answer_depends_on_is_in_its_key():
    other = Image.new("RGB", (4, 6), "red")
    other.putpixel((3, 5), (254, 0, 0))
    keys = [
        key(),
        key("weights 2"),
        key(question="Che cosa? "),
        key(shown=[BLUE]),
        key(shown=[other]),
        key(shown=[RED, RED]),
        key(shown=[RED, BLUE]),
        key(shown=[BLUE, RED]),
        key(shown=[]),
        key(shown=[RED.resize((6, 4))]),
        key(shown=[RED.convert("L")]),
        *(key(**setting) for setting in ({"max_new_tokens": 17}, {"until": ["."]}, {"num_beams": 2})),
    ]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert key() == keys[0] == key(shown=[RED.copy()])


def test_messages_are_known_by_their_texts_and_images():
    def message(image: Image.Image, text: str = "Che?") -> list[dict]:
        return [
            {"role": "user", "content": [{"type": "image", "url": image}, {"type": "text", "text": text}]}
        ]

    assert key(shown=message(RED)) == key(shown=message(RED.copy()))
    assert len({key(shown=message(RED)), key(shown=message(BLUE)), key(shown=message(RED, "?"))}) == 3


def test_what_cannot_be_known_again_has_no_key(tmp_path):
    video = tmp_path / "video.mp4"
    video.write_bytes(b"")
    assert key(shown=[str(video)]) is None
    assert key(shown=[object()]) is None
    assert key(temperature=0.5) is None
    assert key(temperature=None, do_sample=True) is None


def test_only_what_is_missing_is_asked_in_order_and_as_many_as_wanted(tmp_path):
    store = AnswerStore(tmp_path)
    questions = [request(question=text) for text in "abcde"]
    assert put(questions[1:3], store) == (["1: b", "1: c"], [["b", "c"]], [2])
    answers, asked, progress = put([*questions, questions[0]], store)
    assert asked == [["a", "d"], ["e"]]
    assert answers == ["1: a", "1: b", "1: c", "1: d", "2: e", "1: a"]
    assert progress == [2, 3, 1]
    assert put(questions, store)[1:] == ([], [5])


def test_settings_do_not_meet_in_a_batch():
    mixed = [request(question="a"), request(question="b", max_new_tokens=2), request(question="c")]
    assert put(mixed, None, size=8)[1] == [["a"], ["b"], ["c"]]


def test_random_answers_are_not_kept_and_empty_ones_where_they_are_answers(tmp_path):
    store = AnswerStore(tmp_path)
    drawn = [request(question="a", temperature=1.0)] * 2
    assert put(drawn, store)[1] == put(drawn, store)[1] == [["a", "a"]]
    times = []
    for keep_empty in (False, True, True):
        answer_requests(
            MODEL,
            [request()],
            lambda requests: times.append(1) or [""],
            store=store,
            identity="w",
            size=1,
            on_answered=lambda n: None,
            keep_empty=keep_empty,
        )
    assert len(times) == 2


def test_any_model_of_lmms_eval_keeps_its_answers(tmp_path):
    asked = []

    class Theirs(Answerer):
        def generate_until(self, requests):
            asked.append(len(requests))
            # Some wrappers take settings out of a request while they answer it.
            return [GenerationResult(f"sì {request.args[1].pop('until')}") for request in requests]

    def answer(identity: str) -> tuple[Answerer, list[str]]:
        model = Theirs(lambda question, image: "")
        attach_store(
            model,
            AnswerStore(Path(tmp_path)),
            identity=identity,
            size=2,
            on_answered=lambda n: None,
        )
        model.task_dict = {"task": {"test": [None]}}
        return model, model.generate_until([request(question=text) for text in "abc"])

    assert answer("1")[1] == answer("1")[1] == ["sì ['\\n\\n']"] * 3
    assert asked == [2, 1]
    answer("2")
    assert asked == [2, 1, 2, 1]
    # What was shown is noted for the log, also for answers that were kept.
    assert answer("2")[0].shown_images == {"task": {0: [image_sha256(RED)]}}


def test_images_alone_have_digests():
    assert image_digests([RED, BLUE]) == [image_sha256(RED), image_sha256(BLUE)]
    assert image_digests(RED) == [image_sha256(RED)]
    assert image_digests(None) == image_digests([]) == []
    assert image_digests(["video.mp4"]) is None is image_digests("video.mp4")
