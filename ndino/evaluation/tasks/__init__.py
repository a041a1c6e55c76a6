"""The tasks, each a class of its own (`benchmark_task.BenchmarkTask`) that works in any language with a file.

Prompts and paper metrics are those of the tasks released with the paper. The ``robust`` metrics beside them
read the same answers with ``ndino.languages.answers``. The YAMLs in ``tasks_it/`` call these classes for
Italian, and `templates` writes the same YAMLs for another language.
"""
