"""Tables of identification, closed set and open set."""

import statistics

from keras_vsoftmax.experiments.report.section import Section
from keras_vsoftmax.experiments.report.tables import (
    heads_of,
    interval,
    mean,
    paired_difference,
    provenance,
    rows,
    training,
    trial_note,
)
from keras_vsoftmax.experiments.training.recipes import TITLES
from keras_vsoftmax.experiments.training.records import any_record

# Figure, title, factor, and the digits that are shown.
_FIGURES = (
    ("identification_top_1", "Top-1, %", 100, 2),
    ("identification_top_5", "Top-5, %", 100, 2),
    ("dir_at_far_0_1", "DIR at FAR 0.1, %", 100, 2),
    ("dir_at_far_0_01", "DIR at FAR 0.01, %", 100, 2),
    ("identification_auroc", "AUROC", 1, 4),
)
_COMPARED = _FIGURES[0], _FIGURES[2], _FIGURES[3]


class IdentificationSection(Section):
    """Identification of people who were not trained on, and the differences to softmax."""

    key = "identification"

    def tables(self, group):
        return _section(group)


def _section(group):
    record = any_record(group)
    data, found = record["data"], record["identification"]
    every = [run for runs in group.values() for run in runs.values()]
    caption = (
        f"{trial_note(record)}{found['known']:,} queries of people who are enrolled by "
        f"{data['identify']['per_person']} image(s) each, {found['unknown']:,} of strangers; "
        f"nobody was trained on. Mean ± standard deviation over seeds. False accepts are those of "
        f"a threshold chosen for {100 * data['identify']['far']:g} % on other strangers, with the "
        f"mean bounds of its 95% interval by person. {training(record)}, "
        f"{data['train_images']:,} training images. {provenance(every)}"
    )
    title = f"## {record['recipe']['title']}: identification"
    return "\n".join(
        [
            *(title, "", caption, "", *_figures(group), ""),
            *("Minus softmax, paired by seed, 95%:", "", *_differences(group), ""),
        ]
    )


def _values(runs, key, factor=100):
    found = [run["identification"].get(key) for run in runs]
    return [] if None in found else [factor * value for value in found]


def _figures(group):
    header = ["Head", "n", *(title for _, title, _, _ in _FIGURES), "False accepts, %"]
    lines = [[*header, "Known identified, %"]]
    for head in heads_of(group):
        runs = list(group[head].values())
        line = [TITLES[head], str(len(runs))]
        line += [mean(_values(runs, key, factor), digits) for key, _, factor, digits in _FIGURES]
        line += [_false_accepts(runs), mean(_values(runs, "identified_rate"))]
        lines.append(line)
    return rows(lines)


def _false_accepts(runs):
    rate = mean(_values(runs, "false_accept_rate"))
    bounds = [_values(runs, f"false_accept_{end}") for end in ("low", "high")]
    if not all(bounds):
        return rate
    low, high = map(statistics.fmean, bounds)
    return f"{rate} [{low:.2f}, {high:.2f}]"


def _differences(group):
    lines = [["Head", *(title for _, title, _, _ in _COMPARED)]]
    for head in heads_of(group):
        if head == "softmax":
            continue
        line = [TITLES[head]]
        for key, _, factor, _ in _COMPARED:
            line.append(_difference(group, head, key, factor))
        lines.append(line)
    return rows(lines)


def _difference(group, head, key, factor):
    """The paired difference in words, empty where some run does not have the figure."""
    runs = [run for name in (head, "softmax") for run in group.get(name, {}).values()]
    if not _values(runs, key):
        return ""

    def figure(run, key):
        return factor * run["identification"][key]

    return interval(paired_difference(group, head, key, figure=figure))
