"""The protocol's figures against plain loops over every threshold."""

import itertools

import numpy as np
import pytest

from keras_vsoftmax.verification import (
    equal_error_rate,
    evaluate_scores,
    kfold_accuracy,
    roc,
    tar_at_far,
)


def thresholds_between(scores):
    values = sorted(set(scores))
    return [-np.inf, *((a + b) / 2 for a, b in itertools.pairwise(values)), np.inf]


def accuracy_at(threshold, scores, matched):
    return np.mean([(score >= threshold) == truth for score, truth in zip(scores, matched)])


def rates(scores, matched):
    """(FAR, TAR) at each threshold, from the highest to the lowest."""
    same = [score for score, truth in zip(scores, matched) if truth]
    other = [score for score, truth in zip(scores, matched) if not truth]
    return [
        (np.mean([s >= t for s in other]), np.mean([s >= t for s in same]))
        for t in reversed(thresholds_between(scores))
    ]


def reference(scores, matched, folds):
    accuracies = []
    for fold in sorted(set(folds)):
        inside, outside = folds == fold, folds != fold
        candidates = thresholds_between(scores[outside])
        found = [accuracy_at(t, scores[outside], matched[outside]) for t in candidates]
        best = [t for t, accuracy in zip(candidates, found) if accuracy == max(found)]
        middle = best[(len(best) - 1) // 2]
        accuracies.append(accuracy_at(middle, scores[inside], matched[inside]))
    points = rates(scores, matched)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    # The crossing of the broken line FAR - FRR with zero.
    differences = [far - (1 - tar) for far, tar in points]
    for k in range(1, len(points)):
        if differences[k] >= 0:
            share = -differences[k - 1] / (differences[k] - differences[k - 1])
            eer = points[k - 1][0] + share * (points[k][0] - points[k - 1][0])
            break
    negatives = np.sum(~matched)
    tars = {
        far: max(tar for rate, tar in points if rate <= far * (1 + 1e-9))
        if negatives * far >= 1 - 1e-9
        else np.nan
        for far in (1e-1, 1e-2, 1e-3, 1e-4)
    }
    n = len(accuracies)
    mean = sum(accuracies) / n
    error = np.sqrt(sum((a - mean) ** 2 for a in accuracies) / (n - 1)) / np.sqrt(n)
    return {"accuracies": accuracies, "mean": mean, "error": error, "auc": area, "eer": eer} | tars


def check(scores, matched, folds):
    expected = reference(scores, matched, folds)
    result = evaluate_scores(scores, matched, folds)
    np.testing.assert_allclose(result.fold_accuracies, expected["accuracies"], atol=1e-12)
    np.testing.assert_allclose(result.accuracy, expected["mean"], atol=1e-12)
    np.testing.assert_allclose(result.standard_error, expected["error"], atol=1e-12)
    np.testing.assert_allclose(result.auc, expected["auc"], atol=1e-12)
    np.testing.assert_allclose(result.equal_error_rate, expected["eer"], atol=1e-12)
    points = rates(scores, matched)
    np.testing.assert_allclose(result.fpr, [far for far, _ in points], atol=1e-12)
    np.testing.assert_allclose(result.tpr, [tar for _, tar in points], atol=1e-12)
    for far, tar in result.tar_at_far.items():
        np.testing.assert_allclose(tar, expected[far], atol=1e-12, err_msg=f"FAR {far}")
    return result


def protocol(folds, size):
    matched = np.tile(np.arange(2 * size) < size, folds)
    return matched, np.repeat(np.arange(1, folds + 1), 2 * size)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_random_scores(seed, shift):
    matched, folds = protocol(10, 15)
    scores = np.random.default_rng(seed).normal(size=300) + shift * matched
    check(scores, matched, folds)


@pytest.mark.parametrize("seed", range(4))
def test_scores_with_ties(seed):
    matched, folds = protocol(5, 20)
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=200) + matched, 0)
    assert len(np.unique(scores)) < 12
    check(scores, matched, folds)


def test_folds_of_different_sizes_and_kinds():
    rng = np.random.default_rng(0)
    folds = rng.integers(0, 7, 150)
    matched = rng.random(150) < 0.3
    check(rng.normal(size=150) + matched, matched, folds)


def test_separable_scores_are_perfect():
    matched, folds = protocol(10, 15)
    scores = np.random.default_rng(0).uniform(0, 0.4, 300) + 0.5 * matched
    result = check(scores, matched, folds)
    assert result.accuracy == 1.0
    assert result.standard_error == 0.0
    assert result.auc == 1.0
    assert result.equal_error_rate == 0.0
    assert result.tar_at_far[1e-1] == result.tar_at_far[1e-2] == 1.0


def test_constant_scores_are_chance():
    matched, folds = protocol(10, 30)
    result = check(np.full(600, 0.25), matched, folds)
    assert result.accuracy == 0.5
    assert result.auc == 0.5
    assert result.equal_error_rate == 0.5
    # Whoever accepts one of these pairs accepts them all.
    assert result.tar_at_far[1e-1] == 0.0


def test_reversed_scores():
    matched, folds = protocol(4, 10)
    result = check(-1.0 * matched, matched, folds)
    assert result.auc == 0.0
    assert result.equal_error_rate == 1.0


def test_neighbouring_floats_are_told_apart():
    low = 0.1
    high = np.nextafter(low, 1)
    accuracies, _ = kfold_accuracy([high, low, high, low], [1, 0, 1, 0], [1, 1, 2, 2])
    assert accuracies.tolist() == [1.0, 1.0]


def test_the_held_out_fold_does_not_choose_its_threshold():
    # Folds 1 to 3 part at 0.5. Fold 4 would part at 10, if it were asked; whoever lets it have a
    # say, by weight of its many pairs, reads 100 % there.
    matched, folds = protocol(3, 5)
    scores = np.where(matched, 1.0, 0.0)
    strange = np.tile([True, False], 500)
    scores = np.concatenate([scores, np.where(strange, 11.0, 9.0)])
    matched = np.concatenate([matched, strange])
    folds = np.concatenate([folds, np.full(1000, 4)])
    accuracies, thresholds = kfold_accuracy(scores, matched, folds)
    assert accuracies[3] == 0.5
    assert thresholds[3] == 0.5
    # The others are judged by a threshold that the strange fold outvotes.
    assert accuracies[:3].tolist() == [0.5, 0.5, 0.5]


def test_threshold_depends_on_the_other_folds_only():
    rng = np.random.default_rng(5)
    matched, folds = protocol(10, 12)
    scores = rng.normal(size=240) + matched
    _, before = kfold_accuracy(scores, matched, folds)
    for fold in range(1, 11):
        changed = np.where(folds == fold, rng.normal(scale=9, size=240), scores)
        _, after = kfold_accuracy(changed, matched, folds)
        assert after[fold - 1] == before[fold - 1]


@pytest.mark.parametrize(
    ("negatives", "far", "supported"),
    [(10, 1e-1, True), (9, 1e-1, False), (1000, 1e-3, True), (999, 1e-3, False)],
)
def test_far_needs_that_many_mismatched_pairs(negatives, far, supported):
    scores = np.arange(negatives + 5.0)
    matched = np.arange(negatives + 5) >= negatives
    assert np.isnan(tar_at_far(scores, matched, far)) != supported


def test_report_says_what_is_not_supported():
    matched, folds = protocol(10, 15)
    scores = np.random.default_rng(0).normal(size=300) + 3 * matched
    report = str(evaluate_scores(scores, matched, folds, skipped=4))
    assert "150 matched, 150 mismatched, 10 folds, 4 skipped" in report
    assert "TAR at FAR 1e-3 not supported: 150 mismatched pairs, 1000 needed" in report
    assert "nan" not in report


def test_equal_error_rate_at_a_point_of_the_curve():
    assert equal_error_rate([0, 0.25, 1], [0, 0.75, 1]) == 0.25


@pytest.mark.parametrize(
    ("scores", "matched", "folds", "message"),
    [
        ([0.1, np.nan], [1, 0], [1, 2], "1 that are not, of 2"),
        ([0.1, np.inf], [1, 0], [1, 2], "1 that are not, of 2"),
        ([0.1], [1, 0], [1, 2], r"shapes \[\(1,\), \(2,\), \(2,\)\]"),
        ([], [], [], "not empty"),
        ([[0.1], [0.2]], [1, 0], [1, 2], "shapes"),
        ([0.1, 0.2], [1, 1], [1, 2], "Received: 2 matched of 2"),
        ([0.1, 0.2], [1, 1], [1, 1], "Received: 2 matched of 2"),
    ],
)
def test_bad_input_is_refused(scores, matched, folds, message):
    with pytest.raises(ValueError, match=message):
        evaluate_scores(scores, matched, folds)


def test_one_fold_has_every_figure_but_the_accuracy():
    rng = np.random.default_rng(3)
    matched = np.arange(60) % 2 == 0
    scores = rng.normal(size=60) + matched
    one = evaluate_scores(scores, matched, np.ones(60, int))
    two = evaluate_scores(scores, matched, np.arange(60) // 30)
    for name in ("auc", "equal_error_rate", "tar_at_far"):
        np.testing.assert_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.tpr, two.tpr)
    assert np.isnan([one.accuracy, one.standard_error]).all()
    assert np.isnan(one.fold_accuracies).tolist() == [True]
    report = str(one)
    assert "30 matched, 30 mismatched, 1 fold, 0 skipped" in report
    assert "accuracy        not supported: one fold" in report
    assert "nan" not in report
    with pytest.raises(ValueError, match=r"Received: folds \[1\]"):
        kfold_accuracy(scores, matched, np.ones(60, int))


@pytest.mark.parametrize("seed", range(3))
def test_a_threshold_from_other_pairs(seed):
    """LFW's View 1: chosen on one list, judged with on the other."""
    rng = np.random.default_rng(seed)
    matched = rng.random(80) < 0.5
    train, test = rng.normal(size=(2, 80)) + matched
    found = evaluate_scores(train, matched, np.ones(80)).best_threshold()
    candidates = thresholds_between(train)
    best = max(accuracy_at(threshold, train, matched) for threshold in candidates)
    assert accuracy_at(found, train, matched) == best
    result = evaluate_scores(test, matched, np.ones(80), threshold=found)
    assert result.accuracy == pytest.approx(accuracy_at(found, test, matched))
    assert result.thresholds.tolist() == [found]
    assert f"{100 * result.accuracy:.2f} % at the threshold {found:.4g}" in str(result)
    folds = np.arange(80) % 4
    dealt = evaluate_scores(test, matched, folds, threshold=found)
    expected = [accuracy_at(found, test[folds == k], matched[folds == k]) for k in range(4)]
    np.testing.assert_allclose(dealt.fold_accuracies, expected)
    assert dealt.standard_error == pytest.approx(np.std(expected, ddof=1) / 2)


@pytest.mark.parametrize("threshold", [float("nan"), [0.1, 0.2]])
def test_a_threshold_that_is_no_number_is_refused(threshold):
    with pytest.raises(ValueError, match=r"`threshold` must be a number, .* Received: threshold="):
        evaluate_scores([0.1, 0.2], [1, 0], [1, 1], threshold=threshold)


@pytest.mark.parametrize("far", [0, -0.1, 1.5])
def test_far_out_of_range_is_refused(far):
    with pytest.raises(ValueError, match=f"far={far}"):
        tar_at_far([0.1, 0.2], [1, 0], far)


def test_roc_needs_both_kinds():
    with pytest.raises(ValueError, match="Received: 0 matched of 2"):
        roc([0.1, 0.2], [0, 0])
