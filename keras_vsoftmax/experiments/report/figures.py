"""The figures of the poster, drawn from records and embeddings."""

import statistics

import numpy as np

from keras_vsoftmax import verification
from keras_vsoftmax.experiments.report.tables import heads_of
from keras_vsoftmax.experiments.training.recipes import TITLES
from keras_vsoftmax.experiments.training.records import any_record
from keras_vsoftmax.utils.extras import require
from keras_vsoftmax.utils.files import atomic_path


def convergence(group, path):
    """Test error against steps, one line a head, over the range of its seeds.

    Args:
        group: `{head: {seed: record}}` of one recipe, from `records.groups`.
        path: of the image.
    """
    figure, (axes,) = new_figure(1, (6.4, 4.2))
    for head in heads_of(group):
        runs = [record["epochs"] for record in group[head].values()]
        steps = [row["iterations"] for row in runs[0]]
        errors = [[row["test_error"] for row in epoch] for epoch in zip(*runs)]
        means = [statistics.fmean(epoch) for epoch in errors]
        line = axes.plot(steps, means, marker=".", label=TITLES[head])
        if len(runs) > 1:
            axes.fill_between(
                steps,
                *zip(*((min(epoch), max(epoch)) for epoch in errors)),
                color=line[0].get_color(),
                alpha=0.15,
                linewidth=0,
            )
    recipe = any_record(group)["recipe"]
    axes.set(
        xlabel="steps",
        ylabel="test error, %",
        title=f"{recipe['title']}, {recipe['backbone']} at width {recipe['width']:g}",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, path)


def features(panels, labels, path):
    """2-D embeddings side by side, at one scale, a colour a class.

    Args:
        panels: `{title: features}`, each of shape (samples, 2).
        labels: class ids of all of them.
        path: of the image.
    """
    figure, all_axes = new_figure(len(panels), (4.6 * len(panels), 4.6))
    limit = 1.05 * max(np.abs(points).max() for points in panels.values())
    colours = require("matplotlib", extra="examples", feature="Drawing").colormaps["tab10"]
    for axes, (title, points) in zip(all_axes, panels.items()):
        for label in np.unique(labels):
            chosen = points[labels == label]
            axes.scatter(*chosen.T, s=2, color=colours(label % 10), label=str(label))
        axes.set(
            title=title,
            xlim=(-limit, limit),
            ylim=(-limit, limit),
            aspect="equal",
            xlabel="first feature",
            ylabel="second feature",
        )
    all_axes[-1].legend(title="class", loc="center left", bbox_to_anchor=(1.02, 0.5), markerscale=4)
    save(figure, path)


def similarity(groups, path):
    """Mean cosine to the own and to the nearest other class centre, two bars a head.

    Args:
        groups: list of `{head: {seed: record}}`, one panel each.
        path: of the image.
    """
    figure, all_axes = new_figure(len(groups), (5.2 * len(groups), 4.2))
    for axes, group in zip(all_axes, groups):
        names = heads_of(group)
        for offset, key, label in (
            (-0.2, "intra", "own class centre"),
            (0.2, "nearest_other", "nearest other centre"),
        ):
            values = [[run["cosines"][key] for run in group[head].values()] for head in names]
            heights = [statistics.fmean(value) for value in values]
            spread = [
                [h - min(v) for h, v in zip(heights, values)],
                [max(v) - h for h, v in zip(heights, values)],
            ]
            bars = axes.bar(
                np.arange(len(names)) + offset, heights, 0.36, yerr=spread, capsize=3, label=label
            )
            axes.bar_label(bars, fmt="%.2f", padding=3)
        recipe = any_record(group)["recipe"]
        axes.set_xticks(
            range(len(names)),
            [TITLES[head] for head in names],
            rotation=20 if len(names) > 3 else 0,
        )
        axes.set(
            title=recipe["title"],
            ylabel="mean cosine, test set",
            ylim=(min(0, axes.get_ylim()[0]), 1.25),
        )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.legend(loc="upper right", ncols=2)
    save(figure, path)


def roc(scores, title, path):
    """True accept rate against false accept rate, one line a head, the mean over its seeds.

    Args:
        scores: `{head: [(scores, matched), ...]}`, one pair of arrays a seed.
        title: of the figure.
        path: of the image.
    """
    figure, (axes,) = new_figure(1, (6.4, 4.2))
    mismatched = max(np.sum(~matched) for runs in scores.values() for _, matched in runs)
    rates = np.geomspace(1 / mismatched, 1, 400)
    for head in heads_of(scores):
        curves = []
        for run in scores[head]:
            fpr, tpr, _ = verification.roc(*run)
            # The last threshold within the rate; nothing is interpolated.
            curves.append(tpr[np.searchsorted(fpr, rates, side="right") - 1])
        axes.plot(rates, np.mean(curves, axis=0), label=TITLES[head])
    axes.set(
        xscale="log",
        xlabel="false accept rate",
        ylabel="true accept rate",
        ylim=(0, 1.02),
        title=title,
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save(figure, path)


def score_histograms(scores, title, path):
    """How the scores of matched and of mismatched pairs lie, one panel a head, one scale.

    Args:
        scores: `{head: [(scores, matched), ...]}`, one pair of arrays a seed; seeds are pooled.
        title: of the figure.
        path: of the image.
    """
    names = heads_of(scores)
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    figure, all_axes = new_figure(columns, (2.6 * columns + 1, 2.4 * rows + 0.6), rows)
    pooled = {head: [np.concatenate(part) for part in zip(*scores[head])] for head in names}
    values = np.concatenate([pooled[head][0] for head in names])
    bins = np.linspace(values.min(), values.max(), 41)
    for axes, head in zip(all_axes, names):
        score, matched = pooled[head]
        if axes is not all_axes[0]:
            axes.sharex(all_axes[0])
            axes.sharey(all_axes[0])
        for kind, label in ((matched, "same person"), (~matched, "two people")):
            axes.hist(score[kind], bins, density=True, alpha=0.6, label=label)
        axes.set(title=TITLES[head], xlabel="cosine")
    for axes in all_axes[::columns]:
        axes.set_ylabel("density")
    for axes in all_axes[len(names) :]:
        axes.remove()
    all_axes[0].legend(fontsize="small", loc="upper left")
    figure.suptitle(title)
    save(figure, path)


def new_figure(panels, size, rows=1):
    # Without pyplot, which would pick a window system and keep every figure.
    module = require("matplotlib.figure", extra="examples", feature="Drawing")
    figure = module.Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(rows, panels, squeeze=False).flat)


def save(figure, path):
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)
