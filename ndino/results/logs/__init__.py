"""Read and check the files that training, evaluation and perplexity wrote to a run folder.

A broken line, a document answered twice, or two models that did not answer the same documents about the same
images raise `ResultsError` with file, row and reason. Scores are compared only after these checks. What is
unfinished is left out, with a note.
"""

from __future__ import annotations

from ndino.results.logs.fields import ResultsError as ResultsError
from ndino.results.logs.foreign import read_foreign as read_foreign
from ndino.results.logs.foreign import sample_logs as sample_logs
from ndino.results.logs.foreign import task_of as task_of
from ndino.results.logs.judged import JudgedMean as JudgedMean
from ndino.results.logs.perplexity import PerplexityLog as PerplexityLog
from ndino.results.logs.run import RunLogs as RunLogs
from ndino.results.logs.run import TrainingRun as TrainingRun
from ndino.results.logs.run import read_run as read_run
from ndino.results.logs.run import read_training as read_training
from ndino.results.logs.samples import LoggedSample as LoggedSample
from ndino.results.logs.samples import read_samples as read_samples
from ndino.results.logs.tasks import ROUNDING as ROUNDING
from ndino.results.logs.tasks import ModelLogs as ModelLogs
from ndino.results.logs.tasks import TaskLog as TaskLog
from ndino.results.logs.tasks import check_comparable as check_comparable
from ndino.results.logs.tasks import read_model as read_model
from ndino.results.logs.tasks import unnamed_images as unnamed_images
