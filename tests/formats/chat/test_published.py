"""The template that a model is published with: the tokenizer's own, behind a beginning of ours."""

from __future__ import annotations

import itertools

import pytest

from fixtures.chat_templates import CHATML, GEMMA3, QWEN3, chatml_tokenizer, gemma_tokenizer
from fixtures.tiny import tiny_tokenizer
from ndino.formats.chat.published import (
    is_published,
    own_template,
    placed,
    published_template,
    saved_template,
)
from ndino.formats.prompts import IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE

TEXTS = ["Prima ", " e poi ", "  Chi è?\n", "", " ", "\n\n"]
IMAGE = {"type": "image"}


@pytest.fixture(scope="module")
def tokenizer():
    return chatml_tokenizer()


def rendered(tokenizer, template: str, content, **options) -> str:
    messages = [{"role": "user", "content": content}]
    return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)


def test_parts_and_a_written_text_are_placed_alike_whatever_their_order(tokenizer):
    published = published_template(CHATML)
    for length in range(1, 5):
        for kinds in itertools.product([True, False], repeat=length):
            for shift in range(len(TEXTS)):
                texts = itertools.cycle(TEXTS[shift:] + TEXTS[:shift])
                parts = [IMAGE if image else {"type": "text", "text": next(texts)} for image in kinds]
                row = "".join(IMAGE_TOKEN if part is IMAGE else part["text"] for part in parts)
                wanted = f"<|im_start|>user\n{placed(row)}<|im_end|>\n"
                assert rendered(tokenizer, published, parts) == wanted, parts
                assert rendered(tokenizer, published, row) == wanted, row


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("<image>\nChi?", "<image>\nChi?"),
        ("<image>Chi?", "<image>\nChi?"),
        ("\n <image> <image> Chi?\n", "<image>\n<image>\nChi?"),
        ("Prima <image> e  poi <image>", "Prima <image> e  poi <image>"),
        ("<image> Prima\n<image>\n\nPoi", "<image>\nPrima\n<image>\n\nPoi"),
        ("  Chi?\n", "Chi?"),
        ("<image>", "<image>"),
    ],
)
def test_images_in_front_of_all_text_get_a_line_each_and_others_stay_in_place(written, wanted):
    assert placed(written) == wanted == placed(wanted)


def test_every_text_reaches_jinja_as_it_is(tokenizer):
    system = "\u00e8 '\"\\ {{ x }} {% y %} {# z #} \U0001f600\n\ttab \u2028 </s>"
    said = rendered(tokenizer, published_template(CHATML, system=system), "{{ messages }}")
    assert said == f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{{{{ messages }}}}<|im_end|>\n"


def test_a_template_s_own_spaces_are_kept(tokenizer):
    for own in (
        "\n\n {{ messages[0].content }}",
        "  {% if true %}\n{{ messages[0].content }}\n{% endif %}",
        GEMMA3,
    ):
        assert rendered(tokenizer, published_template(own), "a") == rendered(tokenizer, own, "a")


def test_a_message_that_is_not_rewritten_keeps_its_other_fields(tokenizer):
    own = "{% for m in messages %}{{ [m.name, m.reasoning_content, m.content is defined] }}{% endfor %}"
    messages = [
        {"role": "assistant", "name": "Anna", "content": None},
        {"role": "assistant", "reasoning_content": "Ha i baffi.", "content": "Un gatto."},
    ]
    said = [
        tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
        for template in (own, published_template(own))
    ]
    assert said[0] == said[1] and "Anna" in said[0] and "Ha i baffi." in said[0]


def test_who_asks_may_choose_to_think(tokenizer):
    published = published_template(QWEN3)
    empty = "<think>\n\n</think>\n\n"
    assert rendered(tokenizer, published, "a", add_generation_prompt=True).endswith(empty)
    asked = rendered(tokenizer, published, "a", add_generation_prompt=True, enable_thinking=True)
    assert asked.endswith("<|im_start|>assistant\n")


def test_today_is_a_fixed_day(tokenizer):
    own = "{% for m in messages %}{{ strftime_now('%d %b %Y') }}, {{ strftime_now('%Y-%m-%d') }}{% endfor %}"
    assert rendered(tokenizer, published_template(own), "a") == "26 Jul 2024, 2024-07-26"


def test_what_is_saved_after_a_stage_without_the_template():
    assert saved_template(tiny_tokenizer()) == LLAMA3_CHAT_TEMPLATE
    assert saved_template(chatml_tokenizer(None)) is None
    gemma = gemma_tokenizer()
    saved = saved_template(gemma)
    assert saved == published_template(GEMMA3) and is_published(saved) and own_template(saved) == GEMMA3
    trained = published_template(GEMMA3, system="Sii breve.")
    gemma.chat_template = trained
    assert saved_template(gemma) == trained
