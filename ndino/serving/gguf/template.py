"""The chat template for llama.cpp, and the Modelfile for Ollama, both from the published template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ndino.common.errors import reason_of
from ndino.formats.model_kinds import read_json_object
from ndino.formats.prompts import LLAMA3_CHAT_TEMPLATE
from ndino.serving.errors import ExportError

# llama.cpp renders a template with a marker in place of each image, `<__media__>` or with letters before the
# last two underscores, as text that the user's own follows at once. As in training, images before all text
# get a line each.
_BEGINNING = (
    "{%- set shown = namespace(messages=[]) -%}"
    "{%- for message in messages -%}"
    "{%- set said = namespace(text='', placed='', begun=false) -%}"
    "{%- if message['content'] is string -%}{%- set said.text = message['content'] -%}"
    "{%- elif message['content'] -%}"
    "{%- for part in message['content'] if part['text'] -%}"
    "{%- set said.text = said.text + part['text'] -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
)
# As in ndino/formats/prompts.py: place_image, a message's only image goes to its front.
_TO_THE_FRONT = (
    "{%- set pieces = said.text.split('<__media') -%}"
    "{%- if pieces | length == 2 -%}"
    "{%- set letters = pieces[1].split('__>')[0] -%}"
    "{%- set rest = pieces[0] + pieces[1][(letters | length) + 3:] -%}"
    "{%- set said.text = '<__media' + letters + '__>' + rest -%}"
    "{%- endif -%}"
)
_PLACED = (
    "{%- for piece in said.text.split('<__media') -%}"
    "{%- if loop.first -%}"
    "{%- set said.placed = piece -%}"
    "{%- set said.begun = (piece | trim | length) > 0 -%}"
    "{%- else -%}"
    "{%- set letters = piece.split('__>')[0] -%}"
    "{%- set rest = piece[(letters | length) + 3:] -%}"
    "{%- set rest = rest if said.begun else '\\n' + rest.lstrip() -%}"
    "{%- set said.placed = said.placed + '<__media' + letters + '__>' + rest -%}"
    "{%- set said.begun = said.begun or (rest | trim | length) > 0 -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if said.placed == message['content'] -%}"
    "{%- set shown.messages = shown.messages + [message] -%}"
    "{%- else -%}"
    "{%- set said.placed = said.placed | trim -%}"
    "{%- set shown.messages = shown.messages + [{'role': message['role'], 'content': said.placed}] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- set messages = shown.messages -%}"
)
# Ollama puts `[img-0]` in front of the text; in training the image has a line of its own.
_CONTENT = (
    '{{ if and (gt (len .Content) 7) (eq (slice .Content 0 5) "[img-") }}'
    "{{ slice .Content 0 7 }}\n{{ slice .Content 7 }}{{ else }}{{ .Content }}{{ end }}"
)
# Texts that a template copies to where the user's and the model's go.
_ASKED, _ANSWERED, _ASKED_AGAIN = "«ASKED»", "«ANSWERED»", "«ASKED AGAIN»"


def chat_template(folder: Path) -> str:
    """The chat template of a published model folder.

    Raises:
        ExportError: it has none.
        ModelFolderError: a file is broken.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        template = read_json_object(folder / name).get("chat_template") if (folder / name).is_file() else None
        if isinstance(template, str):
            return template
    raise ExportError(f"{folder}: has no chat template (remedy: export a model that ndino train wrote)")


def for_llama_cpp(template: str) -> str:
    """The published template for llama.cpp: its marker of an image goes where training had the image."""
    front = _TO_THE_FRONT if template == LLAMA3_CHAT_TEMPLATE else ""
    return _BEGINNING + front + _PLACED + template


def render(
    template: str, messages: Sequence[Mapping[str, object]], special: Mapping[str, str], *, answering: bool
) -> str:
    """A chat template's text of ``messages``, as transformers renders it.

    Args:
        special: the texts of BOS, EOS and pad token by name.
        answering: whether the start of the next answer is added.

    Raises:
        ExportError: the template fails.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    try:
        made = environment.from_string(template)
        return made.render(messages=messages, add_generation_prompt=answering, **special)
    except (TemplateError, TypeError, ValueError) as error:
        raise ExportError(
            f"the chat template fails: {reason_of(error)} (remedy: correct the model's chat_template.jinja)"
        ) from error


def modelfile(template: str, special: Mapping[str, str], files: Sequence[str], *, context: int) -> str:
    """An Ollama Modelfile.

    Args:
        files: the GGUF files, as the Modelfile names them.
        context: tokens of a prompt with its answer.

    Raises:
        ExportError: the template fails, or does not copy a message's text.
    """
    turns = [
        {"role": "user", "content": _ASKED},
        {"role": "assistant", "content": _ANSWERED},
        {"role": "user", "content": _ASKED_AGAIN},
    ]
    first, found, closed = render(template, turns[:1], special, answering=False).partition(_ASKED)
    answering = render(template, turns[:1], special, answering=True).partition(_ASKED)[2]
    whole = render(template, turns, special, answering=True)
    end = render(template, turns[:2], special, answering=False).partition(_ANSWERED)[2]
    opened, found_again, _ = whole.partition(_ANSWERED + end)[2].partition(_ASKED_AGAIN)
    begin = first.removeprefix(special["bos_token"])  # Ollama adds it
    if not (found and found_again and answering.startswith(closed) and begin.endswith(opened)):
        raise ExportError(
            "the chat template does not write one message after the other (remedy: correct the model's "
            "chat_template.jinja)"
        )
    # What begins a conversation, such as a system message, is written once, `opened` before every question.
    header = answering.removeprefix(closed)
    template = (
        f"{begin.removesuffix(opened)}{{{{ range .Messages }}}}"
        f'{{{{ if eq .Role "user" }}}}{opened}{_CONTENT}{closed}'
        f'{{{{ else if eq .Role "assistant" }}}}{header}{{{{ .Content }}}}{end}{{{{ end }}}}'
        f"{{{{ end }}}}{header}"
    )
    lines = [*(f"FROM ./{name}" for name in files), f'TEMPLATE """{template}"""']
    lines += [f'PARAMETER stop "{special["eos_token"]}"'] if special["eos_token"] else []
    return "\n".join([*lines, "PARAMETER temperature 0", f"PARAMETER num_ctx {context}", ""])
