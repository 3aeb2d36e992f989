"""The figures of identification: closed set and open set."""

import dataclasses
import math

import numpy as np

from keras_vsoftmax.identification.thresholds import (
    checked_fars,
    checked_scores,
)
from keras_vsoftmax.retrieval.checks import checked_ks
from keras_vsoftmax.utils.thresholds import allowed, check_threshold

FARS = (1.0, 0.1, 0.01)


@dataclasses.dataclass(frozen=True, eq=False)
class IdentificationResult:
    """What a set of identified queries amounts to. `print` it for a table.

    Attributes:
        top: dict from k to the share of known queries whose class is among the k best.
        dir_at_far: dict from each FAR to the detection and identification rate: the share of
            known queries whose class is the best and whose score passes a threshold that lets at
            most that share of the unknown ones pass. NaN where there are too few of those.
        auroc: float, of known against unknown queries by their greatest score.
        known, unknown: ints, how many queries have their class in the gallery, and have not.
        threshold: float or `None`, the gallery's.
        false_accept_rate: float or `None`, the share of unknown queries that pass it.
        identified_rate: float or `None`, the share of known queries that pass it with their class.
    """

    top: dict
    dir_at_far: dict
    auroc: float
    known: int
    unknown: int
    threshold: float | None = None
    false_accept_rate: float | None = None
    identified_rate: float | None = None

    def to_dict(self):
        """The figures by names such as `identification_top_1` and `dir_at_far_0_01`.

        Those that cannot be had, without known or with too few unknown queries, are left out.
        """
        figures = {f"identification_top_{k}": value for k, value in self.top.items()}
        figures |= {f"dir_at_far_{rate_name(far)}": v for far, v in self.dir_at_far.items()}
        figures["identification_auroc"] = self.auroc
        return {name: value for name, value in figures.items() if not math.isnan(value)}

    def __str__(self):
        def row(name, value):
            shown = "too few queries" if math.isnan(value) else f"{100 * value:.2f} %"
            return f"{name:<24}{shown:>9}"

        lines = [f"{self.known:,} known and {self.unknown:,} unknown queries"]
        lines += [row(f"top-{k}, closed set", value) for k, value in self.top.items()]
        lines += [row(f"DIR at FAR {far:g}", value) for far, value in self.dir_at_far.items()]
        auroc = "too few queries" if math.isnan(self.auroc) else f"{self.auroc:.4f}"
        lines.append(f"{'AUROC, known or not':<24}{auroc:>9}")
        if self.threshold is not None:
            lines.append(f"at the threshold {self.threshold:.4f}:")
            lines.append(row("  false accepts", self.false_accept_rate))
            lines.append(row("  known identified", self.identified_rate))
        return "\n".join(lines)


def rate_name(far):
    """A rate as a name can hold it: 0.01 is `0_01`."""
    return f"{far:.10f}".rstrip("0").rstrip(".").replace(".", "_")


def identification_figures(ranks, scores, known, *, ks=(1, 5), fars=FARS, threshold=None):
    """Every figure from the ranks and scores of queries.

    Args:
        ranks: int array (queries,), the rank of the right class of a query, from 1; of a known
            query whose class was not found it is larger than every k. Those of unknown queries
            are not looked at.
        scores: float array (queries,), the greatest score of each query.
        known: bool array (queries,), whether the class of a query is in the gallery.
        ks: the k of top-k, positive ints.
        fars: false-accept rates, over 0 and at most 1.
        threshold: float, to measure at; `None` leaves it out.

    Returns:
        `IdentificationResult`.

    Raises:
        ValueError: arrays that do not fit each other, scores that are not finite, or another
            argument that is not as above.

    Example:

    >>> result = identification_figures([1, 2, 1, 9], [0.9, 0.8, 0.4, 0.5], [1, 1, 1, 0])
    >>> result.top[1] == 2 / 3, result.dir_at_far[1.0] == 2 / 3, result.auroc == 2 / 3
    (True, True, True)

    Source: the open-set figures as in P. Grother, M. Ngan, K. Hanaoka, "Face Recognition Vendor
    Test, Part 2: Identification", NIST IR 8271.
    """
    scores, ranks, known = checked_scores(scores), np.asarray(ranks), np.asarray(known, bool)
    if not ranks.shape == known.shape == scores.shape:
        raise ValueError(
            "Ranks, scores and truth must be of one shape (queries,). "
            f"Received: {ranks.shape}, {scores.shape}, {known.shape}"
        )
    ks, fars = checked_ks(ks), checked_fars(fars)
    unknown_scores = np.sort(scores[~known])[::-1]
    right = scores[known & (ranks == 1)]
    count = int(known.sum())

    def detected(far):
        passing = allowed(far, len(unknown_scores))
        if passing == 0 or count == 0:
            return math.nan
        if passing == len(unknown_scores):
            return len(right) / count
        return float(np.sum(right > unknown_scores[passing]) / count)

    measured = {}
    if threshold is not None:
        check_threshold(threshold)
        measured = {
            "threshold": float(threshold),
            "false_accept_rate": _mean(scores[~known] >= threshold),
            "identified_rate": _mean((ranks[known] == 1) & (scores[known] >= threshold)),
        }
    return IdentificationResult(
        top={int(k): _mean(ranks[known] <= k) for k in ks},
        dir_at_far={float(far): detected(far) for far in fars},
        auroc=auroc(scores[known], scores[~known]),
        known=count,
        unknown=len(scores) - count,
        **measured,
    )


def auroc(positives, negatives):
    """The probability that a positive score is above a negative one, ties counted half."""
    if not (len(positives) and len(negatives)):
        return math.nan
    negatives = np.sort(negatives)
    below = np.searchsorted(negatives, positives, "left")
    not_above = np.searchsorted(negatives, positives, "right")
    return float(np.mean(below + not_above) / (2 * len(negatives)))


def _mean(values):
    return float(np.mean(values)) if len(values) else math.nan
