"""How LFW is measured: k-fold accuracy, ROC, equal error rate, TAR at a FAR."""

import dataclasses

import numpy as np

from keras_vsoftmax.utils.extras import require
from keras_vsoftmax.utils.thresholds import allowed, check_threshold

FARS = (1e-1, 1e-2, 1e-3, 1e-4)


@dataclasses.dataclass(frozen=True, eq=False)
class VerificationResult:
    """What a set of scored pairs amounts to. `print` it for a short report.

    One fold alone, such as LFW's View 1, has no others to choose its threshold on: its accuracy is
    NaN unless the threshold was given. NaN too is the standard error over fewer than two folds.

    Attributes:
        accuracy: float, mean of the fold accuracies.
        standard_error: float, of that mean over the folds.
        fold_accuracies: float array (folds,), NaN where there is no threshold.
        thresholds: float array (folds,); fold k is judged with thresholds[k], which was chosen
            without it.
        fpr, tpr: float arrays, the ROC from (0, 0) to (1, 1), with a point for each distinct score.
        auc: float, the area under it.
        equal_error_rate: float.
        tar_at_far: dict from each FAR of 1e-1 to 1e-4 to its TAR; NaN where the pairs are too few.
        scores, matched, folds: the pairs that all this was computed from.
        skipped: int, how many pairs could not be scored, because an image was not there.
    """

    accuracy: float
    standard_error: float
    fold_accuracies: np.ndarray
    thresholds: np.ndarray
    fpr: np.ndarray
    tpr: np.ndarray
    auc: float
    equal_error_rate: float
    tar_at_far: dict
    scores: np.ndarray
    matched: np.ndarray
    folds: np.ndarray
    skipped: int = 0

    def __str__(self):
        mismatched = int(np.sum(~self.matched))
        folds = len(self.fold_accuracies)
        lines = [
            f"pairs           {self.matched.sum()} matched, {mismatched} mismatched, "
            f"{folds} fold{'s' * (folds != 1)}, {self.skipped} skipped",
            f"accuracy        {self._accuracy()}",
            f"AUC             {self.auc:.4f}",
            f"EER             {100 * self.equal_error_rate:.2f} %",
        ]
        for far, tar in self.tar_at_far.items():
            value = (
                f"not supported: {mismatched} mismatched pairs, {round(1 / far)} needed"
                if np.isnan(tar)
                else f"{100 * tar:.2f} %"
            )
            lines.append(f"TAR at FAR 1e-{round(-np.log10(far))} {value}")
        return "\n".join(lines)

    def _accuracy(self):
        if np.isnan(self.accuracy):
            return "not supported: one fold, and no threshold from other pairs"
        if np.isnan(self.standard_error):
            return f"{100 * self.accuracy:.2f} % at the threshold {self.thresholds[0]:.4g}"
        return (
            f"{100 * self.accuracy:.2f} % ± {100 * self.standard_error:.2f} "
            "(mean and standard error over the folds)"
        )

    def best_threshold(self):
        """The threshold that is best on these pairs, to judge others with.

        So is LFW's View 1 used: it is chosen on `pairsDevTrain.txt`, and `pairsDevTest.txt` is
        judged with it, `verify(..., threshold=...)`. See `kfold_accuracy` for the choice.

        Returns:
            float.

        Example:

        >>> train = evaluate_scores([0.9, 0.2], [1, 0], folds=[1, 1])
        >>> threshold = train.best_threshold()
        >>> test = evaluate_scores([0.8, 0.6], [1, 0], folds=[1, 1], threshold=threshold)
        >>> threshold, test.accuracy
        (0.55, 0.5)
        """
        return float(_best_threshold(self.scores, self.matched))


def evaluate_scores(scores, matched, folds, skipped=0, threshold=None):
    """Every figure of the protocol for a set of scored pairs.

    Args:
        scores: float array (pairs,), the greater the more alike.
        matched: bool array (pairs,), true where both images show the same person.
        folds: int array (pairs,), the fold of each pair.
        skipped: int, how many pairs are not among these because they could not be scored.
        threshold: float, with which every fold is judged, chosen on other pairs; `None` chooses one
            for each fold on the other folds, and gives no accuracy where there is one fold.

    Returns:
        `VerificationResult`.

    Raises:
        ValueError: the arrays do not fit each other, a score is not finite, all pairs are of one
            kind, or the threshold is no number.
        ImportError: scikit-learn is not installed.

    Example:

    >>> result = evaluate_scores([0.9, 0.2, 0.7, 0.3], [1, 0, 1, 0], folds=[1, 1, 2, 2])
    >>> result.accuracy, result.auc, result.equal_error_rate
    (1.0, 1.0, 0.0)
    """
    scores, matched, folds = _checked(scores, matched, folds)
    if threshold is not None:
        check_threshold(threshold)
        fold_accuracies, thresholds = _accuracy_at(threshold, scores, matched, folds)
    elif len(np.unique(folds)) > 1:
        fold_accuracies, thresholds = kfold_accuracy(scores, matched, folds)
    else:
        fold_accuracies, thresholds = np.array([[np.nan], [np.nan]])
    count = len(fold_accuracies)
    fpr, tpr, auc = roc(scores, matched)
    return VerificationResult(
        accuracy=float(np.mean(fold_accuracies)),
        standard_error=float(np.std(fold_accuracies, ddof=1) / np.sqrt(count))
        if count > 1
        else float("nan"),
        fold_accuracies=fold_accuracies,
        thresholds=thresholds,
        fpr=fpr,
        tpr=tpr,
        auc=auc,
        equal_error_rate=equal_error_rate(fpr, tpr),
        tar_at_far={far: tar_at_far(scores, matched, far) for far in FARS},
        scores=scores,
        matched=matched,
        folds=folds,
        skipped=skipped,
    )


def kfold_accuracy(scores, matched, folds):
    """Accuracy on each fold, with the threshold that is best on all the others.

    A pair is called matched when its score is at least the threshold. Every threshold that tells
    the other folds' scores apart is tried, half-way between two neighbouring scores and beyond both
    ends; of several equally good ones the middle one is taken.

    Args:
        scores: float array (pairs,), the greater the more alike.
        matched: bool array (pairs,).
        folds: int array (pairs,), with at least two distinct values.

    Returns:
        Two float arrays (folds,), the accuracies and the thresholds, in the order of the folds'
        numbers.

    Raises:
        ValueError: the arrays do not fit each other, a score is not finite, or there is one fold.

    Source: G. Huang et al., "Labeled Faces in the Wild", Univ. of Massachusetts TR 07-49, 2007:
    View 2, and the standard error of the mean over its ten folds.

    Example:

    >>> accuracies, _ = kfold_accuracy([0.9, 0.1, 0.8, 0.2], [1, 0, 1, 0], [1, 1, 2, 2])
    >>> accuracies.tolist()
    [1.0, 1.0]
    """
    scores, matched, folds = _checked(scores, matched, folds)
    names = np.unique(folds)
    if len(names) < 2:
        raise ValueError(
            "The threshold for a fold is chosen on the others, so there must be at least two. "
            f"Received: folds {names.tolist()}"
        )
    accuracies, thresholds = [], []
    for name in names:
        held_out = folds == name
        threshold = _best_threshold(scores[~held_out], matched[~held_out])
        accepted = scores[held_out] >= threshold
        accuracies.append(np.mean(accepted == matched[held_out]))
        thresholds.append(threshold)
    return np.array(accuracies), np.array(thresholds)


def roc(scores, matched):
    """The ROC with a point for each distinct score, and the area under it, from scikit-learn.

    Args:
        scores: float array (pairs,), the greater the more alike.
        matched: bool array (pairs,), with at least one pair of each kind.

    Returns:
        `(fpr, tpr, auc)`: false and true accept rates from (0, 0) to (1, 1), and a float.

    Raises:
        ValueError: the arrays do not fit each other, a score is not finite, or all pairs are of one
            kind.
        ImportError: scikit-learn is not installed.

    Example:

    >>> fpr, tpr, auc = roc([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    >>> fpr.tolist(), tpr.tolist(), auc
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0], 0.75)
    """
    metrics = require("sklearn.metrics", extra="examples", feature="the ROC")
    scores, matched = _checked(scores, matched)
    _check_both_kinds(matched)
    # Points that lie on a line through their neighbours are kept: after a tie such a point can be
    # the last one within a FAR.
    fpr, tpr, _ = metrics.roc_curve(matched, scores, drop_intermediate=False)
    return fpr, tpr, float(metrics.auc(fpr, tpr))


def equal_error_rate(fpr, tpr):
    """Where the ROC has as many false accepts as false rejects, `fpr = 1 - tpr`.

    Between two points of the curve it is found on the straight line that joins them.

    Args:
        fpr: float array, from 0 to 1, as from `roc`.
        tpr: float array, from 0 to 1.

    Returns:
        float.

    Example:

    >>> equal_error_rate([0.0, 1.0], [0.0, 1.0])
    0.5
    """
    fpr, fnr = np.asarray(fpr, np.float64), 1.0 - np.asarray(tpr, np.float64)
    # The first point has only rejects, the last only accepts, so the sign changes between them.
    right = int(np.argmax(fpr >= fnr))
    if fpr[right] == fnr[right]:
        return float(fpr[right])
    left = right - 1
    before, after = fnr[left] - fpr[left], fpr[right] - fnr[right]
    return float(fpr[left] + (fpr[right] - fpr[left]) * before / (before + after))


def tar_at_far(scores, matched, far):
    """The greatest true accept rate at a threshold whose false accept rate is at most `far`.

    Nothing is interpolated: the rate is that of a threshold. A rate below one mismatched pair in
    all of them cannot be measured, so with fewer than `1 / far` mismatched pairs it is NaN.

    Args:
        scores: float array (pairs,), the greater the more alike.
        matched: bool array (pairs,), with at least one pair of each kind.
        far: float, over 0 and at most 1.

    Returns:
        float, NaN where the pairs do not support it.

    Raises:
        ValueError: the arrays do not fit each other, a score is not finite, all pairs are of one
            kind, or `far` is out of range.

    Example:

    >>> tar_at_far([0.9, 0.7, 0.8, 0.1], [1, 1, 0, 0], far=0.5)
    1.0
    """
    if not 0 < far <= 1:
        raise ValueError(f"`far` must be over 0 and at most 1. Received: far={far}")
    scores, matched = _checked(scores, matched)
    _check_both_kinds(matched)
    impostors = np.sort(scores[~matched])[::-1]
    accepted = allowed(far, len(impostors))
    if accepted == 0:
        return float("nan")
    if accepted == len(impostors):
        return 1.0
    # A threshold just above the first impostor that must stay out.
    return float(np.mean(scores[matched] > impostors[accepted]))


def _accuracy_at(threshold, scores, matched, folds):
    """The accuracy of each fold with one threshold, and that threshold for each."""
    right = (scores >= threshold) == matched
    accuracies = [np.mean(right[folds == name]) for name in np.unique(folds)]
    return np.array(accuracies), np.full(len(accuracies), float(threshold))


def _best_threshold(scores, matched):
    values, position = np.unique(scores, return_inverse=True)
    # Pairs of each kind by distinct score, then how many lie below each of the thresholds.
    matched_below = _cumulative(position[matched], len(values))
    mismatched_below = _cumulative(position[~matched], len(values))
    right = (matched_below[-1] - matched_below) + mismatched_below
    best = np.flatnonzero(right == right.max())
    middle = best[(len(best) - 1) // 2]
    if middle == 0:
        return -np.inf
    if middle == len(values):
        return np.inf
    low, high = values[middle - 1], values[middle]
    half_way = low + (high - low) / 2
    # Two scores that are neighbours as floats have nothing between them.
    return half_way if half_way > low else high


def _cumulative(positions, size):
    return np.concatenate([[0], np.cumsum(np.bincount(positions, minlength=size))])


def _checked(scores, matched, *rest):
    scores, matched = np.asarray(scores, np.float64), np.asarray(matched, bool)
    arrays = (scores, matched, *map(np.asarray, rest))
    shapes = [array.shape for array in arrays]
    if scores.ndim != 1 or len(scores) == 0 or len(set(shapes)) != 1:
        raise ValueError(
            "Scores, truth and folds must be arrays of one shape (pairs,), not empty. "
            f"Received: shapes {shapes}"
        )
    broken = int(np.sum(~np.isfinite(scores)))
    if broken:
        raise ValueError(
            f"Scores must be finite. Received: {broken} that are not, of {len(scores)}"
        )
    return arrays


def _check_both_kinds(matched):
    if matched.all() or not matched.any():
        raise ValueError(
            "There must be matched and mismatched pairs. "
            f"Received: {int(matched.sum())} matched of {len(matched)}"
        )
