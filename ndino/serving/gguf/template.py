"""The chat template for llama.cpp, and the Modelfile for Ollama, both from the published template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ndino.common.errors import reason_of
from ndino.formats.model_kinds import read_json_object
from ndino.serving.errors import ExportError

# llama.cpp renders a template with a marker in place of each image, `<__media__>` or with letters before the
# last two underscores, as text that the user's own follows at once. As in ndino/formats/prompts.py:
# place_image, a message's only image goes to its front, with a line of its own.
_PRELUDE = (
    "{%- set made = namespace(messages=[]) -%}"
    "{%- for message in messages -%}"
    "{%- set said = namespace(text='') -%}"
    "{%- if message['content'] is string -%}{%- set said.text = message['content'] -%}"
    "{%- else -%}"
    "{%- for part in message['content'] if part['text'] -%}"
    "{%- set said.text = said.text + ('\\n' if said.text else '') + part['text'] -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- set pieces = said.text.split('<__media') -%}"
    "{%- if pieces | length == 2 -%}"
    "{%- set letters = pieces[1].split('__>')[0] -%}"
    "{%- set rest = pieces[0] + pieces[1][(letters | length) + 3:] -%}"
    "{%- set said.text = ('<__media' + letters + '__>\\n' + rest | trim) | trim -%}"
    "{%- endif -%}"
    "{%- set made.messages = made.messages + [{'role': message['role'], 'content': said.text}] -%}"
    "{%- endfor -%}"
    "{%- set messages = made.messages -%}"
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
    return _PRELUDE + template


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
    asked, answered, again = (
        {"role": "user", "content": _ASKED},
        {"role": "assistant", "content": _ANSWERED},
        {"role": "user", "content": _ASKED_AGAIN},
    )
    first = render(template, [asked], special, answering=True)
    whole = render(template, [asked, answered, again], special, answering=True)
    before, found, middle = first.partition(_ASKED)
    end, found_again, _ = whole.partition(_ANSWERED)[2].partition(before.removeprefix(special["bos_token"]))
    if not found or not found_again:
        raise ExportError(
            "the chat template does not copy a message's text (remedy: correct the model's "
            "chat_template.jinja)"
        )
    # Ollama adds BOS itself.
    before = before.removeprefix(special["bos_token"])
    lines = [f"FROM ./{name}" for name in files]
    lines += [f'TEMPLATE """{before}{{{{ .Prompt }}}}{middle}{{{{ .Response }}}}{end}"""']
    lines += [f'PARAMETER stop "{end.strip()}"'] if end.strip() else []
    return "\n".join([*lines, "PARAMETER temperature 0", f"PARAMETER num_ctx {context}", ""])
