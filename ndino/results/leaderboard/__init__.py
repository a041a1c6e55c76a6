"""Rows of models that can be published and put together with those of others.

rows
    What the file holds, and how one that anybody may have written is read.
collect
    The rows of a run.
merge
    Several files as one; what cannot be compared stays apart.
tables
    The same as Markdown.
"""

from __future__ import annotations

from ndino.results.leaderboard.collect import collect as collect
from ndino.results.leaderboard.merge import merge as merge
from ndino.results.leaderboard.rows import WRITTEN_BY as WRITTEN_BY
from ndino.results.leaderboard.rows import Leaderboard as Leaderboard
from ndino.results.leaderboard.rows import read as read
from ndino.results.leaderboard.tables import LEADERBOARD_FILES as LEADERBOARD_FILES
from ndino.results.leaderboard.tables import leaderboard_markdown as leaderboard_markdown
from ndino.results.leaderboard.tables import write as write
