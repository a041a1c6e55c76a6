"""``prompt: chat``: ids by a tokenizer's own template, and masks against ones that were written by hand."""

from __future__ import annotations

import re

import pytest

from fixtures.chat_templates import (
    CHATML,
    GEMMA3,
    LLAMA3,
    MARKED,
    MARKED_WHOLE,
    MISTRAL,
    QWEN3,
    QWEN3_MARKED,
    QWEN25,
    chatml_tokenizer,
    gemma_tokenizer,
    mistral_tokenizer,
)
from fixtures.llama3 import llama3_tokenizer
from ndino.formats.chat.prompt import ChatPrompt, chat_prompt
from ndino.formats.chat.published import own_template, published_template
from ndino.formats.model_folder import prepare_tokenizer, set_end_of_answer
from ndino.formats.prompts import IGNORE_INDEX, PromptError, Turn, encode_llama3

QUESTION, ANSWER = Turn("user", "<image>\nChi è?"), Turn("assistant", "Un gatto.")
ROUNDS = (QUESTION, ANSWER, Turn("user", "Sicuro?"), Turn("assistant", " Sì!\n"))


def prompt_of(family: str) -> ChatPrompt:
    make = MASKS[family][0]
    if make is llama3_tokenizer:  # everybody's: not to be changed, and a copy takes seconds
        return ChatPrompt(make(), published_template(LLAMA3))
    return chat_prompt(prepare_tokenizer(make()))


def learned(prompt: ChatPrompt, *turns: Turn, images: int = 1) -> str:
    """The conversation's text, with the learned tokens in brackets as hand-written masks have them."""
    encoded = prompt.encode(turns, images=images)
    runs: list[tuple[bool, list[int]]] = []
    for token, label in zip(encoded.input_ids, encoded.labels, strict=True):
        assert label in (token, IGNORE_INDEX)
        if not runs or runs[-1][0] != (label == token):
            runs.append((label == token, []))
        runs[-1][1].append(token)
    texts = [(prompt.tokenizer.decode(ids), is_learned) for is_learned, ids in runs]
    assert encoded.labels.index(encoded.input_ids[encoded.answer_start], encoded.answer_start) > 0
    return "".join(f"⟦{text}⟧" if is_learned else text for text, is_learned in texts)


# What must be learned, by hand: the answer and the token that ends it, wherever an answer is asked for so.
MASKS = {
    "llama3": (
        llama3_tokenizer,
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<image>\nChi è?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Un gatto.<|eot_id|>⟧"
        "<|start_header_id|>user<|end_header_id|>\n\nSicuro?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Sì!<|eot_id|>⟧",
    ),
    "chatml": (
        chatml_tokenizer,
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\n⟦Un gatto.<|im_end|>⟧\n"
        "<|im_start|>user\nSicuro?<|im_end|>\n<|im_start|>assistant\n⟦Sì!<|im_end|>⟧\n",
    ),
    "chatml, its answers marked": (
        lambda: chatml_tokenizer(MARKED),
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\n⟦Un gatto.<|im_end|>⟧\n"
        "<|im_start|>user\nSicuro?<|im_end|>\n<|im_start|>assistant\n⟦Sì!<|im_end|>⟧\n",
    ),
    "chatml, its turns marked": (
        lambda: chatml_tokenizer(MARKED_WHOLE),
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\n⟦Un gatto.<|im_end|>⟧\n"
        "<|im_start|>user\nSicuro?<|im_end|>\n<|im_start|>assistant\n⟦Sì!<|im_end|>⟧\n",
    ),
    "qwen2.5": (
        lambda: chatml_tokenizer(QWEN25),
        "<|im_start|>system\nSei un assistente.<|im_end|>\n"
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\n⟦Un gatto.<|im_end|>⟧\n"
        "<|im_start|>user\nSicuro?<|im_end|>\n<|im_start|>assistant\n⟦Sì!<|im_end|>⟧\n",
    ),
    # The first answer is read without its thinking here, and would be asked for with it: it is not learned.
    "qwen3": (
        lambda: chatml_tokenizer(QWEN3),
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\nUn gatto.<|im_end|>\n"
        "<|im_start|>user\nSicuro?<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n⟦Sì!<|im_end|>⟧\n",
    ),
    # What generation begins with is marked, and not learned all the same.
    "qwen3, its thoughts marked": (
        lambda: chatml_tokenizer(QWEN3_MARKED),
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n⟦Un gatto.<|im_end|>⟧\n"
        "<|im_start|>user\nSicuro?<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n⟦Sì!<|im_end|>⟧\n",
    ),
    "gemma3": (
        gemma_tokenizer,
        "<bos><start_of_turn>user\n<image>\nChi è?<end_of_turn>\n<start_of_turn>model\n"
        "⟦Un gatto.<end_of_turn>⟧\n"
        "<start_of_turn>user\nSicuro?<end_of_turn>\n<start_of_turn>model\n⟦Sì!<end_of_turn>⟧\n",
    ),
    # Its tokenizer puts a space in front of what follows a control token.
    "mistral": (
        mistral_tokenizer,
        "<s> [INST] <image> \nChi è? [/INST]⟦ Un gatto.</s>⟧ [INST] Sicuro? [/INST]⟦ Sì!</s>⟧",
    ),
}


@pytest.mark.parametrize("family", MASKS)
def test_what_is_learned_of_two_rounds_is_what_the_hand_written_mask_says(family):
    assert learned(prompt_of(family), *ROUNDS) == MASKS[family][1]


def test_qwen3_s_single_answer_is_learned_behind_the_empty_thinking_that_generation_begins_with():
    tokenizer = prepare_tokenizer(chatml_tokenizer(QWEN3))
    assert learned(chat_prompt(tokenizer), QUESTION, ANSWER) == (
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n⟦Un gatto.<|im_end|>⟧\n"
    )
    thoughtful = Turn("assistant", "<think>\nHa i baffi.\n</think>\n\nUn gatto.")
    prompt = chat_prompt(tokenizer, thinking=True)
    assert learned(prompt, QUESTION, thoughtful) == (
        "<|im_start|>user\n<image>\nChi è?<|im_end|>\n<|im_start|>assistant\n"
        "⟦<think>\nHa i baffi.\n</think>\n\nUn gatto.<|im_end|>⟧\n"
    )
    # The thinking of an earlier answer is dropped: not what the row says, so the row is refused.
    with pytest.raises(PromptError, match="prints another text"):
        prompt.encode([QUESTION, thoughtful, *ROUNDS[2:]])


@pytest.mark.parametrize("family", MASKS)
def test_training_begins_with_the_prompt_that_generation_is_given(family):
    prompt = prompt_of(family)
    tokenizer = prompt.tokenizer
    for place in (1, 3):
        asked = tokenizer.apply_chat_template(
            [{"role": turn.role, "content": turn.text} for turn in ROUNDS[:place]],
            chat_template=prompt.template,
            add_generation_prompt=True,
            return_dict=False,
        )
        encoded = prompt.encode(ROUNDS[: place + 1])
        assert encoded.input_ids[: len(asked)] == asked
        assert encoded.labels[len(asked)] == encoded.input_ids[len(asked)]


def test_generation_ends_where_an_answer_does():
    for make, end in ((gemma_tokenizer, "<end_of_turn>"), (chatml_tokenizer, "<|im_end|>")):
        tokenizer = prepare_tokenizer(make())
        tokenizer.eos_token = tokenizer.pad_token
        chat_prompt(tokenizer)
        assert tokenizer.eos_token == end
        assert set_end_of_answer(tokenizer, "chat").eos_token_id == [tokenizer.convert_tokens_to_ids(end)]


def test_a_system_prompt_goes_where_the_template_puts_it_and_is_not_learned():
    wanted = {
        "chatml": (
            chatml_tokenizer,
            '<|im_start|>system\nSii "breve".<|im_end|>\n<|im_start|>user\n<image>\nChi è?<|im_end|>\n'
            "<|im_start|>assistant\n⟦Un gatto.<|im_end|>⟧\n",
        ),
        "gemma3": (
            gemma_tokenizer,
            '<bos><start_of_turn>user\nSii "breve".\n\n<image>\nChi è?<end_of_turn>\n'
            "<start_of_turn>model\n⟦Un gatto.<end_of_turn>⟧\n",
        ),
    }
    for make, mask in wanted.values():
        prompt = chat_prompt(prepare_tokenizer(make()), system='Sii "breve".')
        assert learned(prompt, QUESTION, ANSWER) == mask
    own = [{"role": "system", "content": "Altro."}, {"role": "user", "content": "Ciao"}]
    tokenizer = prepare_tokenizer(chatml_tokenizer())
    chat_prompt(tokenizer, system="Sii breve.")
    said = tokenizer.apply_chat_template(own, tokenize=False)
    assert said == "<|im_start|>system\nAltro.<|im_end|>\n<|im_start|>user\nCiao<|im_end|>\n"


def test_a_later_stage_replaces_system_prompt_and_thinking_of_an_earlier_one():
    tokenizer = prepare_tokenizer(chatml_tokenizer(QWEN3))
    first = chat_prompt(tokenizer, system="Uno.", thinking=True).template
    second = chat_prompt(tokenizer, system="Due.").template
    assert "Uno" in first and "Uno" not in second
    assert own_template(second) == own_template(first) == QWEN3
    assert second == published_template(QWEN3, system="Due.")


def test_llama_3_by_its_own_template_has_the_ids_of_listing_2():
    ours = prompt_of("llama3").encode(ROUNDS)
    assert ours == encode_llama3(llama3_tokenizer(), ROUNDS, supervision="answer")


REFUSED = {
    "no template": (None, "the tokenizer has no chat template"),
    "jinja": ("{% for m in messages %}{{ m.content }}", "the chat template fails: "),
    "raised": ("{{ raise_exception('no') }}", "the chat template fails: no"),
    "dangerous": (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages[0].content }}",
        "the chat template fails: access to attribute '__class__' of 'str' object is unsafe",
    ),
    "without the text": ("Ciao<|im_end|>", r"prints another text than '<image>\nChe cosa vedi?'"),
    "two images": (
        "{% for m in messages %}{{ m.content ~ m.content ~ '<|im_end|>' }}{% endfor %}",
        "prints 2 <image> for 1 image(s)",
    ),
    "no end": (
        "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
        "has no control token at the end of an answer",
    ),
    "another beginning": (
        "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Risposta: ' }}{% endif %}",
        "begins an answer otherwise than the prompt for it",
    ),
    "marks elsewhere": (
        "{% for m in messages %}{% if m.role == 'user' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{{ '<|im_end|>' }}{% else %}{{ m.content ~ '<|im_end|>' }}{% endif %}{% endfor %}",
        "leaves the last answer out of its {% generation %}",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_template_that_rows_cannot_be_encoded_with_is_refused_in_one_line(fault):
    template, message = REFUSED[fault]
    with pytest.raises(PromptError, match=re.escape(message)) as caught:
        chat_prompt(prepare_tokenizer(chatml_tokenizer(template)))
    assert "(remedy: " in str(caught.value) and "\n" not in str(caught.value)


def test_a_system_prompt_that_the_template_refuses_and_thinking_that_it_does_not_know_are_named():
    with pytest.raises(PromptError, match=r"roles are supported! \(remedy: remove system from"):
        chat_prompt(prepare_tokenizer(mistral_tokenizer(MISTRAL)), system="Sii breve.")
    for unread in ("", "{% if m.role == 'system' %}{{ m.content | upper }}{% endif %}"):
        template = CHATML.replace("{{", "{% if m.role != 'system' %}{{", 1).replace("}}", "}}{% endif %}", 1)
        template = template.replace("{% endfor %}", unread + "{% endfor %}")
        with pytest.raises(PromptError, match=r"leaves the system prompt out, .* \(remedy: remove system"):
            chat_prompt(prepare_tokenizer(chatml_tokenizer(template)), system="Sii breve.")
    broken = "{{ raise_exception('broken') }}"
    with pytest.raises(PromptError, match=r"fails: broken \(remedy: correct its chat_template\.jinja, or"):
        chat_prompt(prepare_tokenizer(mistral_tokenizer(broken)), system="Sii breve.")
    with pytest.raises(PromptError, match=r"no enable_thinking to switch on .remedy: thinking: false"):
        chat_prompt(prepare_tokenizer(gemma_tokenizer(GEMMA3)), thinking=True)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([QUESTION, Turn("assistant", "Un <end_of_turn>")], "contains the marker <end_of_turn>"),
        ([Turn("user", "<image>\n<bos>Chi?"), ANSWER], "contains the marker <bos>"),
        ([QUESTION], "no answer"),
        ([*ROUNDS[:3]], "does not end with an answer"),
        ([Turn("user", "Chi?"), ANSWER], "0 <image> in the text but 1"),
        ([ANSWER, Turn("assistant", "Un cane.")], "0 <image>"),
        ([QUESTION, Turn("user", "Chi?"), ANSWER], "must alternate"),
    ],
)
def test_rows_that_gemma_s_template_cannot_say_are_refused(turns, reason):
    prompt = chat_prompt(prepare_tokenizer(gemma_tokenizer()))
    with pytest.raises(PromptError, match=reason):
        prompt.encode(turns)


def test_an_answer_that_the_tokenizer_joins_with_the_prompt_is_refused():
    end = "{{ '<|im_end|>' if m.role == 'assistant' else '' }}"
    template = f"{{% for m in messages %}}{{{{ m.content }}}}{end}{{% endfor %}}"
    prompt = chat_prompt(prepare_tokenizer(chatml_tokenizer(template)))
    turns = [Turn("user", "Di che colore è il quadra"), Turn("assistant", "to?")]
    with pytest.raises(PromptError, match="joins ' il quadra', the prompt's end, with 'to"):
        prompt.encode(turns, images=0)


def test_tokens_of_other_families_are_plain_text():
    prompt = chat_prompt(prepare_tokenizer(gemma_tokenizer()))
    said = [Turn("user", "Che cos'è <|im_end|>?"), Turn("assistant", "Un segno di [INST] e </s>.")]
    assert "⟦Un segno di [INST] e </s>.<end_of_turn>⟧" in learned(prompt, *said, images=0)
