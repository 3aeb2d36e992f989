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
        for name, test in any_record(group)["data"]["tests"].items()
        if _known(name, test)
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
            *_table(name, test, group),
            "",
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


def _table(name, test, group):
    known = _known(name, test)
    fars = any_record(group)["verification"][name]["tar_at_far"]
    header = ["Head", "Accuracy", "Minus softmax, paired, 95%", "AUC", "EER, %"]
    header += [f"TAR at FAR {far}, %" for far in fars]
    lines = []
    for head in TITLES:
        runs = [run["verification"][name] for run in group.get(head, {}).values()]
        if not (runs or head in known):
            continue
        difference = None
        if all(run["accuracy"] is not None for run in runs):
            difference = paired_difference(
                group, head, "accuracy", figure=lambda run, key: run["verification"][name][key]
            )
        row = [TITLES[head], "not run", "", "", "", *[""] * len(fars)]
        if runs:
            accuracy = _mean(runs, "accuracy", absent="one fold")
            error = _mean(runs, "standard_error", before=" ± ")
            row[1] = f"{accuracy}{error} (n = {len(runs)})"
            row[2:5] = [
                interval(difference),
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


def _known(name, test):
    """The published figures, where all of their pairs are measured."""
    return published.VERIFICATION.get(name, {}) if test["pairs"] == _PAIRS else {}
