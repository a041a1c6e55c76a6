r"""Prompts by a tokenizer's own chat template (``prompt: chat``): any language model that has one.

- `published`: the template that a model is saved with. It is the tokenizer's own behind a beginning of ours
  that places images, and adds the recipe's system prompt and its choice about thinking.
- `prompt`: token ids and labels of a conversation by that template. Training, perplexity and `ndino evaluate`
  render the same text with it, and so does whoever loads the saved processor.
- `foreign`: a question to somebody else's model, in the template that it came with.

An example in ChatML, the format of Qwen (one line a token would be too long here; ``[…]`` is learned)::

    <|im_start|>user\n<image>\nChe cos'è?<|im_end|>\n<|im_start|>assistant\n[Un gatto.<|im_end|>]\n

What is learned is what the model has to write after the prompt: the answer, what the template puts in front
of it and the prompt does not have, and the token that ends the turn. Header, user's text and what follows the
end are not learned.
"""
