"""Evaluation of models: tasks by way of lmms-eval, and perplexity of given answers."""
