"""Tables of verification: the poster's columns of LFW and SLLFW, and what was measured."""

import statistics

from keras_vsoftmax.experiments.report import published
from keras_vsoftmax.experiments.report.section import Section
from keras_vsoftmax.experiments.report.tables import (
    interval,
    paired_difference,
    provenance,
    rows,
    training,
    trial_note,
)
from keras_vsoftmax.experiments.training.recipes import TITLES
from keras_vsoftmax.experiments.training.records import any_record

_PAIRS = 6000  # of LFW and of SLLFW, in ten folds


class FaceSection(Section):
    """Verification on pairs of faces after the last epoch, a table for each test."""

    key = "verification"

    def tables(self, group):
        return _section(group)

    def document(self, groups):
        return [*map(_section, groups), *_not_run(groups)]


def _not_run(groups):
    """Markdown lines: the poster's tables of which `groups` measured nothing comparable."""
    measured = {
        name
        for group in groups
        for name in any_record(group)["data"]["tests"]
        if _known(name, any_record(group))
    }
    parts = []
    for name, known in published.VERIFICATION.items():
        if name not in measured:
            lines = [[TITLES[head], f"{accuracy:.2f}"] for head, accuracy in known.items()]
            parts += [f"## Face verification, {name}", "", "Not run as published.", ""]
            parts += [*rows([["Head", "Published"], *lines]), ""]
    return parts


def _section(group):
    """Markdown of one group: how it was trained, and a table for each test."""
    record = any_record(group)
    data = record["data"]
    every = [run for runs in group.values() for run in runs.values()]
    parts = [
        f"## {record['recipe']['title']}",
        "",
        f"{trial_note(record)}{training(record)}, {data['train_images']:,} training images of "
        f"{data['train_people']:,} people. {provenance(every)}",
        "",
    ]
    for name, test in data["tests"].items():
        skipped = record["verification"][name]["skipped"]
        parts += [
            f"Verification on {name}, {test['pairs']:,} pairs in {len(test['folds'])} folds"
            + (f", {skipped} of them skipped" if skipped else "")
            + (", flip-augmented" if test["flip"] else "")
            + f". Accuracy in %, {_threshold(test)}.",
            "",
            *_table(name, group),
            "",
            *_differences(name, group),
        ]
    return "\n".join(parts)


def _threshold(test):
    """What the accuracy of a test is."""
    if "threshold_pairs" in test:
        return f"mean over seeds, at the threshold of {test['threshold_pairs']:,} other pairs"
    if len(test["folds"]) < 2:
        return "which one fold does not have, since its threshold comes from the others"
    return "mean over seeds, ± the standard error over the folds"


def _mean(runs, key, digits=2, before="", absent=""):
    """The mean of a figure in words, and of what the pairs do not support."""
    values = [run[key] for run in runs]
    return absent if None in values else f"{before}{statistics.fmean(values):.{digits}f}"


def _table(name, group):
    known = _known(name, any_record(group))
    fars = any_record(group)["verification"][name]["tar_at_far"]
    header = ["Head", "Accuracy", "Minus softmax, paired, 95%", "AUC", "EER, %"]
    header += [f"TAR at FAR {far}, %" for far in fars]
    lines = []
    for head in TITLES:
        runs = [run["verification"][name] for run in group.get(head, {}).values()]
        if not (runs or head in known):
            continue
        row = [TITLES[head], "not run", "", "", "", *[""] * len(fars)]
        if runs:
            accuracy = _mean(runs, "accuracy", absent="one fold")
            error = _mean(runs, "standard_error", before=" ± ")
            row[1] = f"{accuracy}{error} (n = {len(runs)})"
            row[2:5] = [
                _difference(name, group, head, lambda test: test["accuracy"]),
                _mean(runs, "auc", 4),
                _mean(runs, "equal_error_rate"),
            ]
            rates = [run["tar_at_far"] for run in runs]
            row[5:] = [_mean(rates, far, absent="too few pairs") for far in fars]
        if known:
            row.insert(1, f"{known[head]:.2f}" if head in known else "")
        lines.append(row)
    if known:
        header.insert(1, "Published")
    return rows([header, *lines])


def _differences(name, group):
    """Every figure minus that of softmax, in points, where two seeds or more ran both."""
    fars = any_record(group)["verification"][name]["tar_at_far"]
    figures = {
        "Accuracy": lambda test: test["accuracy"],
        "AUC, x 100": lambda test: 100 * test["auc"],
        "EER": lambda test: test["equal_error_rate"],
        **{f"TAR at FAR {far}": lambda test, far=far: test["tar_at_far"][far] for far in fars},
    }
    lines = []
    for head in TITLES:
        row = [_difference(name, group, head, figure) for figure in figures.values()]
        if any(row):
            lines.append([TITLES[head], *row])
    if not lines:
        return []
    header = ["Head", *figures]
    return ["Minus softmax, paired by seed, 95%, in points:", "", *rows([header, *lines]), ""]


def _difference(name, group, head, figure):
    """The paired difference of a figure of a test in words, empty where the pairs have none."""

    def of_record(record, _):
        return figure(record["verification"][name])

    runs = [run for head in (head, "softmax") for run in group.get(head, {}).values()]
    if any(of_record(run, None) is None for run in runs):
        return ""
    return interval(paired_difference(group, head, figure=of_record))


def _known(name, record):
    """The published figures, where all of their pairs are measured."""
    test = record["verification"][name]
    whole = test["pairs"] == _PAIRS and not test["skipped"]
    return published.VERIFICATION.get(name, {}) if whole else {}
