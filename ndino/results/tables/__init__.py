"""Build the paper's Tables 5 to 7, and further ones, from a run's summary (``ndino.results.summary``).

A table is plain data, so Markdown, terminal and page show the same cells. Unlike in the paper, every score
has a confidence interval, the score with shuffled images, and a verdict on whether the model uses the image.
"""

from __future__ import annotations

from ndino.results.tables.groups import other_groups as other_groups
from ndino.results.tables.groups import perplexity_sets as perplexity_sets
from ndino.results.tables.groups import score_groups as score_groups
from ndino.results.tables.groups import tasks_in_order as tasks_in_order
from ndino.results.tables.scores import PERPLEXITY as PERPLEXITY
from ndino.results.tables.sources import data_tables as data_tables
from ndino.results.tables.sources import leaks_table as leaks_table
from ndino.results.tables.whole import build_tables as build_tables
