"""Answers by transformers alone, with which those of the commands are compared."""

from __future__ import annotations

from typing import Any

from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask


def plain_answer(model: Any, processor: Any, task: LoadedTask, number: int) -> str:
    """The answer to a task's question by plain ``generate``, with the processor's own prompt."""
    (image,) = task.task.doc_to_visual(task.task.eval_docs[number])
    content = [{"type": "image", "image": image}, {"type": "text", "text": task.prompt(number)}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    limit = task.task.config.generation_kwargs["max_new_tokens"]
    made = model.generate(**inputs, max_new_tokens=limit, do_sample=False)
    return processor.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
