"""The error or notice that a rank of ``--gpus`` ends with, told to the launcher, which says each once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from ndino.common.errors import Stopped, UsageError, UserError, reason_of, remedy_for, shown, with_remedy
from ndino.common.parsing import parse_json

PIPE = "NDINO_LAST_WORDS"  # environment variable of a rank: the descriptor of the pipe to the launcher
LONGEST = 2000  # characters of a message: one write to a pipe is not mixed with others up to 4096 bytes
RERUN = "rerun to resume"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # ask for an end: a rank that they end has not failed
_CODES = ((UsageError, 2), (Stopped, 130), (Exception, 1))  # as in ndino.cli


@dataclass(frozen=True)
class LastWords:
    """How a rank ended; ``lost`` if it could only say that another rank had ended."""

    rank: int
    text: str
    lost: bool


@contextlib.contextmanager
def telling_the_launcher() -> Iterator[None]:
    """Exit with an error's code and tell its message to the launcher; does nothing where there is none.

    Raises:
        SystemExit: in place of an error that is one line for the user.
    """
    pipe = os.environ.get(PIPE)
    if pipe is None:
        yield
        return
    try:
        yield
    except (UserError, OSError, Stopped) as error:
        from ndino.train.health.ranks import LostRanksError

        text = with_remedy(str(error) if isinstance(error, UserError) else reason_of(error), _remedy(error))
        words = LastWords(int(os.environ["RANK"]), shown(text, LONGEST), isinstance(error, LostRanksError))
        os.write(int(pipe), f"{json.dumps(asdict(words), ensure_ascii=False)}\n".encode())
        raise SystemExit(next(code for kind, code in _CODES if isinstance(error, kind))) from None


def _remedy(error: BaseException) -> str:
    return remedy_for(error, RERUN) if isinstance(error, OSError) else RERUN


def read_words(data: bytes) -> list[LastWords]:
    """What was written to the pipe."""
    return [LastWords(**parse_json(line)) for line in data.decode().splitlines()]


def conclusions(words: Sequence[LastWords], codes: Mapping[int, int]) -> list[str]:
    """The lines to end with: what ranks said, each once, and how those that said nothing ended.

    Args:
        codes: of the ranks that ended by themselves; -N after signal N.
    """
    spoke = {each.rank for each in words}
    causes = list(dict.fromkeys(each.text.removeprefix("rank 0: ") for each in words if not each.lost))
    causes += [_ending(rank, code) for rank, code in codes.items() if code and rank not in spoke]
    return causes or [each.text for each in words[:1]]


def killed(words: Sequence[LastWords], codes: Mapping[int, int]) -> str | None:
    """Which rank a signal has killed, in a line, where no rank could say why it ended; arguments as above."""
    if any(not each.lost for each in words):
        return None
    found = (_ending(rank, code) for rank, code in codes.items() if code < 0 and -code not in STOPS)
    return next(found, None)


def _ending(rank: int, code: int) -> str:
    if code > 0:
        return f"rank {rank} ended with exit code {code}, its error is above (remedy: {RERUN})"
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        return (
            f"rank {rank} was killed ({name}), as Linux does when memory runs out (remedy: {RERUN}; see "
            "docs/training.md, Memory, if it comes again)"
        )
    return f"rank {rank} was ended by {name} (remedy: {RERUN})"
