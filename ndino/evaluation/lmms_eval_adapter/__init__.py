"""All of our code that touches lmms-eval, apart from the files laid into it (``overlay/``, ``tasks_it/``).

Nothing else in ``ndino/`` imports ``lmms_eval``. ``tests/evaluation/test_lmms_eval_adapter.py`` names every
attribute, signature and behaviour used here, so that moving the pin fails there with a readable message.

registration
    The entry point ``lmms_eval.models``: a ``ModelManifest`` for each of our model wrappers.
models
    ``get_model`` and ``list_available_models`` give a backend's class, ``create_from_arg_string`` loads it.
    Wrappers assume a GPU; without one they get ``device=cpu``.
task_index
    ``TaskManager`` and ``load_yaml_config`` find and load tasks. Our own tasks are indexed alone where they
    suffice, since reading all of lmms-eval's takes seconds. While a task loads, ``ConfigurableTask.download``
    tries once and not five times.
local_rows
    A ``ConfigurableTask`` (or ``ConfigurableMessagesTask``) whose ``download`` takes rows that we have read.
loaded_task
    The attributes and methods of a loaded ``ConfigurableTask``.
wrong_images
    Replaces ``doc_to_visual`` of lmms-eval's own tasks for the shuffled-image control.
evaluator
    ``simple_evaluate`` for one task and ``consolidate_group_results`` for a group's totals. Replaces
    ``model.clean``, with which lmms-eval takes a model apart after one task.
answering
    ``Instance`` and ``unwrap_generation_output``: wraps a model's ``generate_until``, so that answers are
    stored batch by batch and progress is reported.
metrics
    ``exact_match_hf_evaluate``, the paper's exact match, ``EvalAIAnswerProcessor``, VQA's own, and
    ``mean``, to recognise it.
surroundings
    Process-wide state: ``os.chdir`` into the data folder, where ``datasets`` looks before it asks the hub;
    the variables ``LMMS_EVAL_DATASETS_CACHE``, ``NDINO_SHUFFLE``, ``HF_HUB_OFFLINE`` and
    ``HF_DATASETS_DISABLE_PROGRESS_BARS``; the remembered result of ``_resolve_hf_datasets_cache_dir``;
    swallowed logs and progress bars; a loguru sink for the errors that wrappers log in place of an answer.

Importing ``lmms_eval.api.task`` also sets ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES`` for the whole process: a
truncated image would be shown with grey in place of what is missing. ``task_environment`` takes that back.
"""
