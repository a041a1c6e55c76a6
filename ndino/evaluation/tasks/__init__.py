"""What the Italian tasks in ``tasks_it/`` share: instructions, data checks, images and scores.

Each task's own ``utils.py`` holds the rest. Prompts and paper metrics are those of the tasks released with
the paper. The ``robust`` metrics beside them read the same answers with ``ndino.languages.answers``.
"""
