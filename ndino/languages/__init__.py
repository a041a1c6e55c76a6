"""The words of each language, and how a model's short answer is read."""
