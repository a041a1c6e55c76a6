"""Intervals and tests for scores of models on the same questions.

Pure functions. Draws are seeded, so the same scores give the same numbers. "a" and "b" are always scores of
two models (or with right and with shuffled images), for the same rows in the same order: between 0 and 1, or
error rates, which may be larger.

clusters
    Which rows share an image, and the bootstrap over images.
permutations
    The permutation test over images.
paired
    Tests of two models, their correction for many tests, and the difference that a test could have found.
intervals
    95 % intervals of scores and of differences.
"""

from __future__ import annotations

from ndino.results.statistics.clusters import RESAMPLES as RESAMPLES
from ndino.results.statistics.clusters import SEED as SEED
from ndino.results.statistics.clusters import Clusters as Clusters
from ndino.results.statistics.clusters import Interval as Interval
from ndino.results.statistics.intervals import bootstrap_f1_interval as bootstrap_f1_interval
from ndino.results.statistics.intervals import bootstrap_interval as bootstrap_interval
from ndino.results.statistics.intervals import difference_interval as difference_interval
from ndino.results.statistics.intervals import f1_score as f1_score
from ndino.results.statistics.intervals import score_interval as score_interval
from ndino.results.statistics.intervals import wilson_interval as wilson_interval
from ndino.results.statistics.paired import ALPHA as ALPHA
from ndino.results.statistics.paired import EXACT_BELOW as EXACT_BELOW
from ndino.results.statistics.paired import POWER as POWER
from ndino.results.statistics.paired import ImageTest as ImageTest
from ndino.results.statistics.paired import PairedTest as PairedTest
from ndino.results.statistics.paired import detectable_difference as detectable_difference
from ndino.results.statistics.paired import discordant as discordant
from ndino.results.statistics.paired import holm as holm
from ndino.results.statistics.paired import image_test as image_test
from ndino.results.statistics.paired import is_binary as is_binary
from ndino.results.statistics.paired import mcnemar_test as mcnemar_test
from ndino.results.statistics.paired import paired_test as paired_test
from ndino.results.statistics.paired import permutation_test as permutation_test
from ndino.results.statistics.permutations import mid_p as mid_p
from ndino.results.statistics.permutations import sign_flip as sign_flip
