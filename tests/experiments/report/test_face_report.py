import copy

import pytest

from keras_vsoftmax.experiments.report import published, report
from keras_vsoftmax.experiments.training import recipes, records


def _record(make_record, head, seed, accuracy, folds=10, skipped=0):
    record = make_record(head, seed, 1.0, recipes.FACES)
    del record["cosines"]
    record["epochs"] = [{"epoch": 1, "iterations": 28_000, "loss": 1.0, "train_error": 0.0}]
    record["data"] = {
        "source": "casia",
        "train_images": 490_000,
        "train_people": 10_572,
        "tests": {"lfw": {"pairs": 600 * folds, "folds": list(range(1, folds + 1)), "flip": True}},
    }
    record["verification"] = {
        "lfw": {
            "accuracy": accuracy,
            "standard_error": 0.5,
            "auc": 0.98765,
            "equal_error_rate": 2.0 if head == "virtual" else 2.5,
            "tar_at_far": {"0.1": 99.0 + seed / 10, "0.0001": None},
            "pairs": 600 * folds - skipped,
            "skipped": skipped,
        }
    }
    return record


def _line(text, start):
    """The first such line, that of the figures: the differences come after them."""
    return next(line for line in text.splitlines() if line.startswith(start))


def test_tables_say_what_was_measured(make_record):
    pytest.importorskip("scipy")
    runs = [_record(make_record, "softmax", seed, 97.0 + seed) for seed in (0, 1)]
    runs += [_record(make_record, "virtual", seed, 98.0 + 2 * seed) for seed in (0, 1)]
    text = report.tables(runs)
    assert "490,000 training images of 10,572 people" in text
    assert "6,000 pairs in 10 folds, flip-augmented" in text
    assert _line(text, "| Softmax |") == (
        "| Softmax | 99.10 | 97.50 ± 0.50 (n = 2) |  | 0.9877 | 2.50 | 99.05 | too few pairs |"
    )
    assert "| 99.46 | 99.00 ± 0.50 (n = 2) | +1.50 [" in _line(text, "| Virtual Softmax |")
    assert _line(text, "| A-Softmax with NormFace |").startswith(
        "| A-Softmax with NormFace | 99.57 | not run |"
    )
    first, second = text.split("Minus softmax, paired by seed, 95%, in points:")
    for table in (first, second):
        assert len({line.count("|") for line in table.splitlines() if line[:1] == "|"}) == 1
    accuracy, auc, eer, tar, none = _line(second, "| Virtual Softmax |").split(" | ")[1:]
    assert accuracy.startswith("+1.50 [")
    assert auc == tar == "+0.00 [+0.00, +0.00]"
    assert eer == "-0.50 [-0.50, -0.50]"
    assert none == " |"
    assert "| Softmax |" not in second


def test_one_fold_has_no_accuracy_unless_a_threshold_is_given(make_record):
    runs = [_record(make_record, "softmax", seed, None, folds=1) for seed in (0, 1)]
    for run in runs:
        run["verification"]["lfw"]["standard_error"] = None
    text = report.tables(runs)
    assert "which one fold does not have" in text
    assert _line(text, "| Softmax |").startswith("| Softmax | one fold (n = 2) |  | 0.9877 |")
    for run in runs:
        run["verification"]["lfw"]["accuracy"] = 96.0
        run["data"]["tests"]["lfw"]["threshold_pairs"] = 2200
    text = report.tables(runs)
    assert "at the threshold of 2,200 other pairs" in text
    assert _line(text, "| Softmax |").startswith("| Softmax | 96.00 (n = 2) |")


def test_published_figures_stand_beside_all_pairs_only(make_record):
    whole, part = (_record(make_record, "softmax", 0, 97.0, folds) for folds in (10, 5))
    assert "Published" in report.tables([whole])
    assert "Published" not in report.tables([part])
    assert "A-Softmax" not in report.tables([part])
    assert report.document([whole]).count("Not run as published.") == 1  # SLLFW
    text = report.document([part])
    assert text.count("Not run as published.") == 2
    for table in published.VERIFICATION.values():
        for accuracy in table.values():
            assert f"| {accuracy:.2f} |" in text


def test_runs_of_images_and_of_faces_in_one_report(make_record, tmp_path):
    pytest.importorskip("matplotlib")
    runs = [make_record("softmax", 0, 1.0), _record(make_record, "softmax", 0, 97.0)]
    text = report.write(runs, tmp_path)
    assert [path.name for path in tmp_path.glob("*.png")] == ["convergence-0-mnist.png"]
    assert "## MNIST" in text
    assert "## Face verification" in text


def test_other_people_are_another_group(make_record):
    one = _record(make_record, "softmax", 0, 97.0)
    other = copy.deepcopy(one)
    other["head"] = "virtual"
    other["data"]["train_people"] = 5
    assert len(records.groups([one, other])) == 2


def test_skipped_pairs_are_not_the_published_ones(make_record):
    text = report.document([_record(make_record, "softmax", 0, 97.0, skipped=3)])
    assert "6,000 pairs in 10 folds, 3 of them skipped" in text
    measured, published_alone = text.split("## Face verification, lfw")
    assert "99.10" not in measured
    assert "Not run as published." in published_alone
    assert "99.10" in published_alone
