"""The prompt of a conversation: as it was trained, whatever round it is."""

from __future__ import annotations

import pytest

from fixtures.tiny import tiny_tokenizer
from ndino.evaluation.inference.prompting import (
    ChatTemplate,
    answer_ids,
    before_answer,
    chat_template,
    prompt_ids,
    prompt_text,
)
from ndino.formats.chat.published import published_template
from ndino.formats.model_folder import prepare_tokenizer
from ndino.formats.prompts import LLAMA3_CHAT_TEMPLATE, Turn, encode_llama3

ROUNDS = [("Di che colore è il quadrato?", "rosso"), ("Quanti cerchi ci sono?", "Tre cerchi, e un gatto.")]
TYPED = (
    "{% for m in messages %}[{{ m['role'] }}]"
    "{% for p in m['content'] %}{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}"
    "{% endfor %}"
)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_later_round_is_asked_as_conversations_are_trained(number):
    tokenizer = prepare_tokenizer(tiny_tokenizer())
    template = chat_template(tokenizer)
    assert template is not None
    rounds, question, answer = ROUNDS[:number], "C'è un cane nell'immagine?", "No."
    ids = prompt_ids(tokenizer, template, question, 1, rounds)
    turns = [Turn(*turn) for asked, said in rounds for turn in (("user", asked), ("assistant", said))]
    turns = [*turns, Turn("user", question), Turn("assistant", answer)]
    turns[0] = Turn("user", f"<image>\n{turns[0].text}")
    trained = encode_llama3(tokenizer, turns).input_ids
    # Behind the question comes the answer with its end.
    assert trained[: len(ids)] == ids and tokenizer.decode(trained[len(ids) :]) == "No.<|eot_id|>"


def test_the_image_is_in_the_first_question_in_either_form_of_messages():
    for template in (ChatTemplate(TYPED, of_processor=True), ChatTemplate(TYPED)):
        text = prompt_text(tiny_tokenizer(), template, "E poi?", 1, ROUNDS)
        assert text.startswith(f"[user]<image>{ROUNDS[0][0]}[assistant]rosso[user]")
        assert text.endswith("[user]E poi?") and text.count("<image>") == 1
    with pytest.raises(ValueError, match="2 <image> for 1 images"):
        prompt_text(
            tiny_tokenizer(), ChatTemplate(LLAMA3_CHAT_TEMPLATE), "<image>", 1, [("<image>\nChe?", "A")]
        )


VICUNA = (
    "{% for m in messages %}{% if m['role'] == 'user' %}USER: {{ m['content'] }} "
    "{% else %}ASSISTANT: {{ m['content'] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
BEGINS = "{% if add_generation_prompt %}[assistant]{% endif %}"
THINKING = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]<think>{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "written"),
    [
        (ChatTemplate(LLAMA3_CHAT_TEMPLATE), ""),
        (ChatTemplate(VICUNA), " "),
        # It writes answers of earlier rounds in another way than the one that it asks for.
        (ChatTemplate(THINKING), ""),
        (ChatTemplate(TYPED + BEGINS, of_processor=True), ""),
        (ChatTemplate(TYPED.replace("]{%", "] {%") + BEGINS, of_processor=True), " "),
    ],
)
def test_what_a_template_writes_before_an_answer(template, written):
    assert before_answer(tiny_tokenizer(), template) == written


def test_a_foreign_template_is_told_not_to_think_and_ours_has_its_recipes_choice():
    thinks = VICUNA + "{% if not enable_thinking is defined or enable_thinking %}<think>{% endif %}"
    tokenizer = tiny_tokenizer()
    assert prompt_text(tokenizer, ChatTemplate(thinks), "Che?", 0) == "USER: Che? ASSISTANT:"
    ours = ChatTemplate(published_template(thinks, thinking=True))
    assert prompt_text(tokenizer, ours, "Che?", 0).endswith("ASSISTANT:<think>")
    assert before_answer(tokenizer, ChatTemplate(thinks)) == " "


def test_an_answer_continues_the_ids_of_its_prompt():
    tokenizer = prepare_tokenizer(tiny_tokenizer())
    # The tokenizer has "un", with and without a blank before it.
    for prompt, answer in (("Che?", " un"), ("Che? ", "un"), ("<|end_header_id|>\n\n", "B"), ("Che?", "Ж")):
        whole = tokenizer(prompt + answer)["input_ids"]
        before = tokenizer(prompt)["input_ids"]
        ids = answer_ids(tokenizer, prompt, before, answer)
        merged = whole[: len(before)] != before
        assert merged == (prompt == "Che? ")
        assert ids == (tokenizer(answer)["input_ids"] if merged else whole[len(before) :])
        assert tokenizer.decode(ids) == answer
