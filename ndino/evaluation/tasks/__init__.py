"""The tasks, one module each: a class (`framework.benchmark_task.BenchmarkTask`) that works in any language.

Prompts and paper metrics are those of the tasks released with the paper. The ``robust`` metrics beside them
read the same answers with ``ndino.languages.answers``. The YAMLs in ``tasks_it/`` call these classes for
Italian, and `framework.templates` writes the same YAMLs for another language.
"""
