"""The chat template for llama.cpp and the Modelfile for Ollama: the prompts of training."""

from __future__ import annotations

import re

import pytest

from fixtures.tiny import tiny_tokenizer
from ndino.formats.chat.published import published_template
from ndino.formats.model_folder import PAD_TOKEN
from ndino.formats.prompts import BEGIN_OF_TEXT, END_OF_TURN, IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE
from ndino.serving.errors import ExportError
from ndino.serving.gguf.template import for_llama_cpp, modelfile, render

SPECIAL = {"bos_token": BEGIN_OF_TEXT, "eos_token": END_OF_TURN, "pad_token": PAD_TOKEN}
# Of Qwen2's kind: with a system message of its own accord.
CHATML = published_template(
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nTu sei un aiuto.<|im_end|>\\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TEXT, IMAGE = (lambda text: {"type": "text", "text": text}), {"type": "image"}
USERS = [
    [IMAGE, TEXT("Che cosa si vede?")],
    [IMAGE, TEXT("\n  Che cosa si vede?\n")],
    [TEXT("Che cosa si vede?"), IMAGE],
    [TEXT("Guarda "), IMAGE, TEXT(" e rispondi.")],
    [IMAGE, IMAGE, TEXT("Quale?")],
    [TEXT("Ciao")],
    [IMAGE],
]


@pytest.mark.parametrize("marker", ["<__media__>", "<__media_x7Q2__>"])
@pytest.mark.parametrize("parts", USERS, ids=str)
@pytest.mark.parametrize("template", [LLAMA3_CHAT_TEMPLATE, CHATML], ids=["llama3", "chatml"])
def test_llama_cpps_markers_are_where_training_had_the_images(template, parts, marker):
    """llama.cpp joins a message's parts to a text of its own, with nothing between a marker and a text."""
    tokenizer = tiny_tokenizer()
    answer = {"role": "assistant", "content": [TEXT("Un gatto.")]}
    ours = tokenizer.apply_chat_template(
        [{"role": "user", "content": parts}, answer, {"role": "user", "content": [TEXT("E poi?")]}],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )
    typed = [TEXT(marker) if part is IMAGE else part for part in parts]
    for content in ("".join(part["text"] for part in typed), typed):
        messages = [{"role": "user", "content": content}, answer, {"role": "user", "content": "E poi?"}]
        theirs = render(for_llama_cpp(template), messages, SPECIAL, answering=True)
        assert theirs.replace(marker, IMAGE_TOKEN) == ours


def run_go(template: str, messages: list[tuple[str, str]]) -> str:
    """What Go makes of the few actions that the Modelfile's templates have."""
    begin, body, end = re.fullmatch(
        r"(.*?)\{\{ range \.Messages }}(.*)\{\{ end }}(.*?)", template, re.DOTALL
    ).groups()
    user, assistant = re.fullmatch(
        r'\{\{ if eq \.Role "user" }}(.*)\{\{ else if eq \.Role "assistant" }}(.*)\{\{ end }}',
        body,
        re.DOTALL,
    ).groups()
    image, plain = re.search(
        r'\{\{ if and \(gt \(len \.Content\) 7\) \(eq \(slice \.Content 0 5\) "\[img-"\) }}(.*?)'
        r"\{\{ else }}(.*?)\{\{ end }}",
        user,
        re.DOTALL,
    ).groups()
    made = begin
    for role, content in messages:
        shown = image if content.startswith("[img-") and len(content) > 7 else plain
        text = re.sub(r"\{\{ if and.*?\{\{ end }}", lambda _, shown=shown: shown, user, flags=re.DOTALL)
        text = text if role == "user" else assistant
        text = text.replace("{{ slice .Content 0 7 }}", content[:7])
        made += text.replace("{{ slice .Content 7 }}", content[7:]).replace("{{ .Content }}", content)
    return made + end


@pytest.mark.parametrize("template", [LLAMA3_CHAT_TEMPLATE, CHATML], ids=["llama3", "chatml"])
def test_ollamas_template_writes_the_prompt_of_training(template):
    made = modelfile(template, SPECIAL, ["a.gguf", "b.gguf"], context=4096)
    assert made.startswith("FROM ./a.gguf\nFROM ./b.gguf\nTEMPLATE")
    assert made.endswith(
        f'"""\nPARAMETER stop "{END_OF_TURN}"\nPARAMETER temperature 0\nPARAMETER num_ctx 4096\n'
    )
    go = made.partition('"""')[2].partition('"""')[0]
    said = [("user", "[img-0]Che cosa si vede?"), ("assistant", "Un gatto."), ("user", "E poi?")]
    ours = tiny_tokenizer().apply_chat_template(
        [{"role": role, "content": text.replace("[img-0]", f"{IMAGE_TOKEN}\n")} for role, text in said],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )
    assert run_go(go, said).replace("[img-0]", IMAGE_TOKEN) == ours.removeprefix(BEGIN_OF_TEXT)


@pytest.mark.parametrize("template", ["{{ messages[0]['role'] }}", "{% for %}", "{{ messages + 1 }}"])
def test_a_template_that_fails_is_named(template):
    with pytest.raises(
        ExportError, match=r"the chat template .*\(remedy: correct the model's chat_template.jinja\)"
    ):
        modelfile(template, SPECIAL, [], context=4096)
