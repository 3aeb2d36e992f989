"""Tables of retrieval among classes that were not trained on."""

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
from keras_vsoftmax.experiments.training.records import any_record, last

# Figure, title, factor, and the digits that are shown.
_FIGURES = (
    ("recall_at_1", "Recall@1, %", 100, 2),
    ("r_precision", "R-precision, %", 100, 2),
    ("map_at_r", "MAP@R, %", 100, 2),
    ("mrr", "MRR", 1, 3),
    ("pair_auc", "Pair AUC", 1, 4),
    ("nmi", "NMI", 1, 3),
    ("ami", "AMI", 1, 3),
    ("intra", "Own cosine", 1, 3),
    ("nearest_other", "Nearest-other cosine", 1, 3),
)
# Those that are compared with softmax, seed by seed.
_COMPARED = (
    ("recall_at_1", "Recall@1, %", 100),
    ("map_at_r", "MAP@R, %", 100),
    ("pair_auc", "Pair AUC, %", 100),
)


class RetrievalSection(Section):
    """Retrieval among classes that were not trained on, and the paired differences to softmax."""

    key = "retrieval"

    def tables(self, group):
        return _section(group)


def _section(group):
    record = any_record(group)
    data, found = record["data"], record["retrieval"]
    every = [run for runs in group.values() for run in runs.values()]
    caption = (
        f"{trial_note(record)}Retrieval among {found['queries']:,} images of "
        f"{data['unseen_classes']} classes that were not trained on, leave-one-out, by the cosine"
        + (f", {found['left_out']} left out" if found["left_out"] else "")
        + ". Mean ± standard deviation over seeds; the test error is that of the classes trained "
        f"on. {training(record)}, {data['train_images']:,} training images. {provenance(every)}"
    )
    return "\n".join(
        [
            f"## {record['recipe']['title']}",
            "",
            caption,
            "",
            *_figures(group),
            "",
            "Minus softmax, paired by seed, 95%:",
            "",
            *_differences(group),
            "",
        ]
    )


def _figures(group):
    lines = [["Head", "n", "Test error, %", *(title for _, title, _, _ in _FIGURES)]]
    for head in heads_of(group):
        runs = list(group[head].values())
        line = [TITLES[head], str(len(runs)), mean([last(run) for run in runs])]
        for key, _, factor, digits in _FIGURES:
            line.append(mean([factor * run["retrieval"][key] for run in runs], digits))
        lines.append(line)
    return rows(lines)


def _differences(group):
    lines = [["Head", "Test error, %", *(title for _, title, _ in _COMPARED)]]
    for head in heads_of(group):
        if head != "softmax":
            line = [TITLES[head], interval(paired_difference(group, head))]
            for key, _, factor in _COMPARED:

                def figure(run, key, factor=factor):
                    return factor * run["retrieval"][key]

                line.append(interval(paired_difference(group, head, key, figure=figure)))
            lines.append(line)
    return rows(lines)
