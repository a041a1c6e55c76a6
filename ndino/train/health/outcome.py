"""Whether a stage has made its model worse, by the losses that it logged and the one of its last weights.

The guard's running median needs `ndino.train.health.divergence.FEWEST` steps, and follows a loss that rises
slowly. So the loss of the last weights is compared with that of the first step as well, and with that of a
uniform guess, which is the logarithm of the vocabulary's size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A loss is a spike when it is above FACTOR times what it is compared with, and MARGIN nats above it.
FACTOR, MARGIN = 3.0, 3.0
SPIKES = 3  # in a row are a divergence: a single one comes from a batch
NATS = 1.0  # above both the first loss and a uniform guess's: worse than knowing nothing
REMEDY = "(remedy: look at the loss curve; or train again with a lower learning_rate in another --out)"


def spike_limit(reference: float) -> float:
    """The loss above which there is a spike, against a loss of ``reference``."""
    return max(FACTOR * reference, reference + MARGIN)


@dataclass(frozen=True)
class Course:
    """The loss of a stage: ``points`` are (step, loss) as logged, ``uniform`` the loss of a uniform guess."""

    points: Sequence[tuple[int, float]]
    uniform: float

    @classmethod
    def of(cls, history: Sequence[Mapping[str, Any]], vocabulary: int) -> Course:
        """From a Trainer's log, of a model with ``vocabulary`` tokens."""
        return cls([(row["step"], row["loss"]) for row in history if "loss" in row], math.log(vocabulary))

    @property
    def first(self) -> float:
        """The first logged loss; infinite where nothing was logged."""
        return self.points[0][1] if self.points else math.inf

    @property
    def ruined_above(self) -> float:
        """The loss of the last weights above which they are not published."""
        return min(spike_limit(self.first), max(self.first, self.uniform) + NATS)

    @property
    def well_up_to(self) -> float:
        """The loss of the last weights up to which nothing needs to be said of it."""
        return min(self.first, self.uniform)

    @property
    def ruined_since(self) -> int | None:
        """The first of the last logged steps whose losses are all above `ruined_above`; None if none is."""
        since = None
        for step, loss in reversed(self.points):
            if loss <= self.ruined_above:
                break
            since = step
        return since

    def warning(self, last: float) -> str | None:
        """What to say of a stage that is published; None if it went well.

        Args:
            last: the loss of the last weights.
        """
        after = f"the loss is {last:.4g} after the last step"
        if last > self.uniform:
            return f"{after}, no better than a uniform guess's ({self.uniform:.4g}) {REMEDY}"
        if last > self.first:
            return f"{after} and was {self.first:.4g} in the first: nothing is gained {REMEDY}"
        losses = [loss for _, loss in self.points]
        lowest = [min(losses[start : start + SPIKES]) for start in range(len(losses) - SPIKES + 1)]
        if (peak := max(lowest, default=0.0)) > self.ruined_above:
            return (
                f"the loss rose from {self.first:.4g} in the first step to {peak:.4g} and more, and is "
                f"{last:.4g} after the last {REMEDY}"
            )
        return None
