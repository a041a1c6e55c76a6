"""What the two folders say that a model is made of: a language model and a vision tower.

Nothing here lists names of architectures. `kinds` asks transformers' tables what a config.json describes,
`tower` asks the tower's class how many features it gives for a tile, and `language` asks the language model's
class for its parts. Every other module works from these facts.
"""
