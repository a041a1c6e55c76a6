"""Prompts and labels against the paper's released training script, with the real LLaMA 3 tokenizer."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fixtures.chat_templates import chatml_tokenizer, gemma_tokenizer, mistral_tokenizer
from fixtures.llama3 import llama3_tokenizer
from fixtures.tiny import tiny_tokenizer
from ndino.formats import prompts
from ndino.formats.model_folder import prepare_tokenizer
from ndino.formats.prompts import (
    IGNORE_INDEX,
    IMAGE_TOKEN,
    LLAMA3_CHAT_TEMPLATE,
    MARKERS,
    PromptError,
    Turn,
    control_tokens,
    encode_llama3,
    encode_plain,
    marker_in,
    place_image,
    truncate,
)
from tests.golden.make_prompts import CAPTIONS, CONVERSATIONS, GOLDEN, UPSTREAM_IMAGE_ID
from tests.properties import examples

RECORDED = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer():
    return llama3_tokenizer()


def turns_of(*texts: str) -> list[Turn]:
    return [Turn("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(texts)]


def with_upstream_image_id(ids: list[int], tokenizer) -> list[int]:
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return [UPSTREAM_IMAGE_ID if token == image_id else token for token in ids]


def test_the_golden_file_holds_the_listed_cases():
    assert [case["turns"] for case in RECORDED["llama3"]] == [case["turns"] for case in CONVERSATIONS]
    assert [case["text"] for case in RECORDED["plain"]] == CAPTIONS


@pytest.mark.parametrize("case", RECORDED["llama3"], ids=lambda case: case["turns"][0][:20])
def test_llama3_equals_the_released_script(case, tokenizer):
    encoded = encode_llama3(tokenizer, turns_of(*case["turns"]), images=case["images"])
    assert with_upstream_image_id(encoded.input_ids, tokenizer) == case["input_ids"]
    assert with_upstream_image_id(encoded.labels, tokenizer) == case["labels"]


@pytest.mark.parametrize("case", RECORDED["plain"], ids=lambda case: case["text"][:20].strip())
def test_plain_with_newline_equals_the_released_script(case, tokenizer):
    encoded = encode_plain(tokenizer, case["text"], ending="newline")
    assert with_upstream_image_id(encoded.input_ids, tokenizer) == case["input_ids"]
    assert with_upstream_image_id(encoded.labels, tokenizer) == case["labels"]


def test_plain_is_listing_1(tokenizer):
    encoded = encode_plain(tokenizer, "Una veduta di Bari.")
    assert tokenizer.decode(encoded.input_ids) == "<|begin_of_text|><image>Una veduta di Bari.<|end_of_text|>"
    assert encoded.labels[:2] == [IGNORE_INDEX] * 2
    assert encoded.labels[2:] == encoded.input_ids[2:]


def test_llama3_is_listing_2(tokenizer):
    encoded = encode_llama3(tokenizer, turns_of("Chi è? <image>", " È Anna. "))
    assert tokenizer.decode(encoded.input_ids) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<image>\nChi è?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nÈ Anna.<|eot_id|>"
    )


def test_the_example_of_the_docstring_is_what_the_code_does(tokenizer):
    turns = turns_of("<image>\nChe cos'è?", "Un gatto.")
    paper, answer = (encode_llama3(tokenizer, turns, supervision=which) for which in ("paper", "answer"))
    assert paper.input_ids == answer.input_ids
    for token, *labels in zip(paper.input_ids, paper.labels, answer.labels, strict=True):
        text = tokenizer.decode([token]).replace("\n", r"\n")
        line = f"    {token:9}  {text:19}{labels[0]:19}{labels[1]:18}\n"
        assert line in prompts.__doc__
    assert prompts.__doc__.count("128009  <|eot_id|>") == paper.input_ids.count(128009) == 2


def test_answer_supervision_labels_every_answer_and_its_end(tokenizer):
    turns = turns_of("<image>\nCiao", "Ciao!", "E poi?", "Basta.")
    encoded = encode_llama3(tokenizer, turns, supervision="answer")
    supervised = [token for token in encoded.labels if token != IGNORE_INDEX]
    assert tokenizer.decode(supervised) == "Ciao!<|eot_id|>Basta.<|eot_id|>"
    assert tokenizer.decode(encoded.input_ids[encoded.answer_start :]).startswith("Ciao!<|eot_id|>")


def test_chat_template_renders_the_training_prompt(tokenizer):
    turns = turns_of("<image>\nChi è? ", "È Anna.", "Sicuro?", "Sì!")
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    rendered = tokenizer.apply_chat_template(messages, chat_template=LLAMA3_CHAT_TEMPLATE, tokenize=False)
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert ids == encode_llama3(tokenizer, turns).input_ids
    parts = [{"type": "text", "text": "Chi è?"}, {"type": "image"}]
    question = tokenizer.apply_chat_template(
        [{"role": "user", "content": parts}],
        chat_template=LLAMA3_CHAT_TEMPLATE,
        tokenize=False,
        add_generation_prompt=True,
    )
    assert rendered.startswith(question)


@pytest.fixture(scope="module")
def rendered():
    """``rendered(messages)``: the ids of what the published template makes of them."""
    tokenizer = prepare_tokenizer(tiny_tokenizer(base=True))

    def ids(messages: list[dict]) -> list[int]:
        text = tokenizer.apply_chat_template(messages, chat_template=LLAMA3_CHAT_TEMPLATE, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    ids.tokenizer = tokenizer
    return ids


TEXTS = ["Prima ", " e poi ", "  Chi è?\n", "", " ", "\n\n"]
IMAGE = {"type": "image"}


def written(parts: list[str | dict]) -> str:
    """The text of a training row that says the same as a message's parts."""
    images, texts = parts.count(IMAGE), [part for part in parts if part is not IMAGE]
    if images == 1:
        return f"{IMAGE_TOKEN}\n{''.join(texts).strip()}"
    leading = next((place for place, part in enumerate(parts) if part is not IMAGE), len(parts))
    first = f"{IMAGE_TOKEN}\n" * leading
    return first + "".join(IMAGE_TOKEN if part is IMAGE else part for part in parts[leading:])


def test_the_published_template_says_what_training_says_of_texts_and_images_in_any_order(rendered):
    seen = set()
    for length in range(1, 5):
        for kinds in itertools.product([True, False], repeat=length):
            for shift in range(len(TEXTS)):
                texts = itertools.cycle(TEXTS[shift:] + TEXTS[:shift])
                parts = [IMAGE if image else next(texts) for image in kinds]
                row = written(parts)
                seen.add(images := parts.count(IMAGE))
                turns = [Turn("user", row), Turn("assistant", " Sì. "), Turn("user", "E poi?")]
                ours = encode_llama3(rendered.tokenizer, turns, images=images).input_ids
                content = [part if part is IMAGE else {"type": "text", "text": part} for part in parts]
                rest = [{"role": turn.role, "content": turn.text} for turn in turns[1:]]
                assert rendered([{"role": "user", "content": content}, *rest]) == ours, parts
                assert rendered([{"role": "user", "content": row}, *rest]) == ours, row
    assert seen == {0, 1, 2, 3, 4}


@given(st.lists(st.sampled_from([IMAGE_TOKEN, "\n", " ", "Chi", "è ?"]), max_size=7))
@examples(60)
def test_the_published_template_places_images_in_a_written_message_as_training_does(rendered, pieces):
    text = "".join(pieces)
    turns = [Turn("user", text), Turn("assistant", "Sì.")]
    ours = encode_llama3(rendered.tokenizer, turns, images=text.count(IMAGE_TOKEN)).input_ids
    assert rendered([{"role": turn.role, "content": turn.text} for turn in turns]) == ours


def test_texts_are_not_glued_and_two_images_stay_in_place(rendered):
    parts = [{"type": "text", "text": "Prima "}, IMAGE, {"type": "text", "text": " e poi "}, IMAGE]
    shown = rendered.tokenizer.decode(rendered([{"role": "user", "content": parts}]))
    assert "user<|end_header_id|>\n\nPrima <image> e poi <image><|eot_id|>" in shown


def test_two_plain_images_follow_each_other(tokenizer):
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    assert encode_plain(tokenizer, "Due foto.", images=2).input_ids[1:3] == [image_id, image_id]


@pytest.mark.parametrize(
    ("turns", "images", "reason"),
    [
        ([], 0, "empty"),
        ([Turn("system", "Sei gentile."), Turn("assistant", "Sì.")], 0, "unknown role 'system'"),
        (turns_of("<image>\nChi è?", "Anna."), 0, "1 <image> in the text but 0"),
        (turns_of("Chi è?", "Anna."), 1, "0 <image> in the text but 1"),
        (turns_of("Chi è?"), 0, "no answer"),
        (turns_of("Chi è?<|eot_id|>", "Anna."), 0, "marker <|eot_id|>"),
        (turns_of("Chi è?<|eot<image>_id|>", "Anna."), 1, "marker <|eot_id|>"),
        (turns_of("Chi è?<im<image>age>", "Anna."), 1, "marker <image>"),
    ],
)
def test_llama3_refuses(turns, images, reason, tokenizer):
    with pytest.raises(PromptError, match=reason.replace("|", r"\|")):
        encode_llama3(tokenizer, turns, images=images)


@pytest.mark.parametrize(("text", "reason"), [("  ", "empty"), ("<image> due", "marker <image>")])
def test_plain_refuses(text, reason, tokenizer):
    with pytest.raises(PromptError, match=reason):
        encode_plain(tokenizer, text)


def test_a_tokenizer_without_the_markers_is_refused(tokenizer):
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE({"a": 0}, [])))
    with pytest.raises(PromptError, match="no token <\\|begin_of_text\\|>"):
        encode_llama3(bare, turns_of("a", "a"), images=0)
    with pytest.raises(PromptError, match=r"no end-of-sequence token .remedy: name it in tokenizer_config"):
        encode_plain(bare, "a")


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (mistral_tokenizer, "<s><image>⟦ Una veduta.</s>⟧"),  # its tokenizer puts a space in front of a text
        (gemma_tokenizer, "<bos><image>⟦Una veduta.<eos>⟧"),
        (chatml_tokenizer, "<image>⟦Una veduta.<|im_end|>⟧"),  # Qwen's has no BOS
    ],
)
def test_plain_begins_and_ends_with_the_tokenizer_s_own_bos_and_eos(make, wanted):
    tokenizer = prepare_tokenizer(make())
    encoded = encode_plain(tokenizer, "Una veduta.")
    begun = encoded.labels.index(encoded.input_ids[encoded.answer_start])
    assert encoded.labels == [IGNORE_INDEX] * begun + encoded.input_ids[begun:]
    texts = (tokenizer.decode(part) for part in (encoded.input_ids[:begun], encoded.input_ids[begun:]))
    assert "{}⟦{}⟧".format(*texts) == wanted
    for token in (tokenizer.eos_token, tokenizer.pad_token):
        with pytest.raises(PromptError, match=f"contains the marker {re.escape(token)}"):
            encode_plain(tokenizer, f"Una {token} veduta.")


def cut(encoded, tokenizer, limit, *counts):
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return truncate(encoded, limit, image_token_id=image, feature_counts=counts)


def test_truncation_counts_an_image_as_its_features(tokenizer):
    encoded = encode_llama3(tokenizer, turns_of("<image>\nChi è la persona?", "Una signora anziana."))
    features = 24
    answer = encoded.answer_start + features - 1  # in the widened sample
    kept, counts = cut(encoded, tokenizer, answer + 1, features)
    assert kept.input_ids == encoded.input_ids[: encoded.answer_start + 1]
    assert kept.labels[-1] == encoded.input_ids[encoded.answer_start]
    assert counts == [features]
    assert cut(encoded, tokenizer, 1000, features) == (encoded, [features])
    with pytest.raises(
        PromptError, match=f"truncation to {answer} tokens: the answer starts at token {answer + 1} "
    ):
        cut(encoded, tokenizer, answer, features)


def test_truncation_cuts_a_later_image_short_and_leaves_the_next_out(tokenizer):
    turns = turns_of("<image>\nChi?", "Una.", "<image>\nE qui?", "Due.", "<image>\nE lì?", "Tre.")
    encoded = encode_llama3(tokenizer, turns, images=3)
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    _, second, third = (place for place, token in enumerate(encoded.input_ids) if token == image)
    limit = second + 39 + 3  # the first image has 40 features in place of 1; 3 of the second fit
    kept, counts = cut(encoded, tokenizer, limit, 40, 50, 50)
    assert (len(kept.input_ids), counts) == (second + 1, [40, 3])
    assert len(kept.input_ids) - 2 + sum(counts) == limit
    # Upstream's collator would cut the third image's id, and shift the images of the batch's other samples.
    with pytest.raises(PromptError, match=f"an image comes after the first {third} tokens"):
        cut(encoded, tokenizer, third, 5, 50, 50)
    cut(encoded, tokenizer, third + 1, 5, 50, 50)


plain_text = st.text(min_size=1, max_size=60).filter(lambda text: text.strip() and IMAGE_TOKEN not in text)


@examples(60)
@given(texts=st.lists(plain_text, min_size=2, max_size=6).filter(lambda texts: len(texts) % 2 == 0))
@example(texts=["a", f"b{MARKERS[0]}"])
def test_any_conversation_decodes_to_its_template_and_supervises_only_answers(texts):
    tokenizer = llama3_tokenizer()
    turns = turns_of(*texts)
    refused = (*MARKERS, *control_tokens(tokenizer))
    if marked := [marker for text in texts for marker in refused if marker in text]:
        with pytest.raises(PromptError, match=re.escape(f"the text contains the marker {marked[0]}")):
            encode_llama3(tokenizer, turns, images=0)
        return
    for supervision in ("paper", "answer"):
        encoded = encode_llama3(tokenizer, turns, images=0, supervision=supervision)
        assert all(
            label in (IGNORE_INDEX, token)
            for token, label in zip(encoded.input_ids, encoded.labels, strict=True)
        )
    answers = [label for label in encoded.labels if label != IGNORE_INDEX]
    expected = "".join(f"{turn.text.strip()}<|eot_id|>" for turn in turns if turn.role == "assistant")
    assert tokenizer.decode(answers).lstrip("\n") == expected


@given(before=plain_text, after=plain_text)
def test_place_image_moves_a_single_image_and_loses_no_text(before, after):
    assume(marker_in(f"{before}{IMAGE_TOKEN}{after}", ()) is None)  # another image, which is refused
    placed = place_image(f"{before}{IMAGE_TOKEN}{after}")
    assert placed.startswith(f"{IMAGE_TOKEN}\n")
    assert placed.removeprefix(f"{IMAGE_TOKEN}\n") == (before + after).strip()
    assert place_image(placed) == placed
