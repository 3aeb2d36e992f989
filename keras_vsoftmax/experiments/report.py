"""The tables of the poster with a measured column, from the records of runs."""

import pathlib
import statistics

from keras_vsoftmax._extras import require
from keras_vsoftmax.experiments import figures, published, recipes
from keras_vsoftmax.experiments.files import atomic_path
from keras_vsoftmax.experiments.recipes import TITLES
from keras_vsoftmax.experiments.records import any_record, groups, last

_POSTER = (
    recipes.MNIST,
    recipes.SVHN,
    recipes.CIFAR10,
    recipes.CIFAR100,
    recipes.CIFAR100_PLUS,
    recipes.IMAGENET32,
)


def tables(records):
    """Markdown: one table for each group of records, with the heads that were measured."""
    return "\n".join(
        _faces(group) if _is_faces(group) else _section(group, poster=False)
        for group in groups(records)
    )


def write(records, folder):
    """Write `report.md`, and the convergence figure of each group, into a folder.

    Returns:
        The Markdown.
    """
    folder = pathlib.Path(folder)
    text = document(records)
    for index, group in enumerate(groups(records)):
        if _is_faces(group):  # no test after each epoch
            continue
        name = f"convergence-{index}-{any_record(group)['recipe']['name']}.png"
        figures.convergence(group, folder / name)
        text += f"\n![Test error against steps]({name})\n"
    with atomic_path(folder / "report.md") as temporary:
        temporary.write_text(text)
    return text


def document(records):
    """Markdown: every table of the poster, and beside it what was measured or that it was not."""
    grouped = [group for group in groups(records) if not _is_faces(group)]
    faces = [group for group in groups(records) if _is_faces(group)]
    parts = ["# Measured beside published", ""]
    for recipe in _POSTER:
        measured = [
            group for group in grouped if any_record(group)["recipe"]["name"] == recipe.name
        ]
        parts += map(_section, measured)
        if not measured:
            parts += [f"## {recipe.title}", "", "Not run.", ""]
            parts += [*_table(recipe.name, {}, "test_error", published.OWN_RUNS), ""]
    poster = {recipe.name for recipe in _POSTER}
    parts += [
        _section(group) for group in grouped if any_record(group)["recipe"]["name"] not in poster
    ]
    parts += map(_faces, faces)
    for name, known in published.VERIFICATION.items():
        if not any(name in any_record(group)["verification"] for group in faces):
            parts += [f"## Face verification, {name}", "", "Not run.", ""]
            parts += _rows(
                [["Head", "Published"]] + [[TITLES[h], f"{x:.2f}"] for h, x in known.items()]
            )
            parts += [""]
    return "\n".join(parts)


def paired_difference(group, head, key="test_error", baseline="softmax", figure=last):
    """Mean difference of a head to the baseline over the seeds that both ran, with an interval.

    The figure compared is `figure(record, key)`.

    Returns:
        `(mean, low, high)`, the bounds those of a 95% interval by Student's t, or `None` where
        fewer than two seeds are common.
    """
    runs, others = group.get(head, {}), group.get(baseline, {})
    common = sorted(runs.keys() & others)
    differences = [figure(runs[seed], key) - figure(others[seed], key) for seed in common]
    if head == baseline or len(differences) < 2:
        return None
    stats = require("scipy.stats", extra="examples", feature="Comparing heads")
    mean = statistics.fmean(differences)
    quantile = stats.t.ppf(0.975, len(differences) - 1)
    half = float(quantile) * statistics.stdev(differences) / len(differences) ** 0.5
    return mean, mean - half, mean + half


def _section(group, poster=True):
    record = any_record(group)
    name = record["recipe"]["name"]
    parts = [f"## {record['recipe']['title']}", "", _caption(group), ""]
    parts += [*_table(name, group, "test_error", published.OWN_RUNS, poster), ""]
    if record["recipe"]["top5"]:
        parts += ["Top-5 error:", ""]
        parts += [*_table(name, group, "test_top5_error", published.TOP5, poster), ""]
    return "\n".join([*parts, *_verdict(group)])


def _caption(group):
    record = any_record(group)
    recipe, data = record["recipe"], record["data"]
    every = [run for runs in group.values() for run in runs.values()]
    synthetic = "**Synthetic data, no measurement.** " if data["source"] == "synthetic" else ""
    return (
        f"{synthetic}Test error in % after the last epoch, mean ± standard deviation over seeds. "
        f"{recipe['backbone']} at width {recipe['width']:g}, {len(record['epochs'])} epochs "
        f"({recipe['iterations']:,} steps of {recipe['batch_size']}), rate "
        f"{recipe['learning_rate']:g}, {recipe['precision']}, {data['train_images']:,} training "
        f"and {data['test_images']:,} test images. {_provenance(every)}"
    )


def _provenance(records):
    keras = _all([run["versions"] for run in records], "keras", "keras ")
    return f"{_all(records, 'device')}; {keras}; {_all(records, 'date')}."


def _all(records, key, prefix=""):
    return prefix + ", ".join(sorted({record[key] for record in records}))


def _table(name, group, key, own_runs, poster=True):
    """Rows of the measured heads; with `poster` also those that only it has."""
    known = own_runs.get(name, {})
    header = ["Head", "Measured", "Minus softmax, paired, 95%", "Intra cosine"]
    header += ["Nearest-other cosine", "Steps/s"]
    rows = []
    for head in TITLES:
        if head in group or (poster and head in known):
            runs = list(group.get(head, {}).values())
            errors = _mean([last(run, key) for run in runs])
            row = [
                TITLES[head],
                f"{errors} (n = {len(runs)})" if runs else "not run",
                _interval(paired_difference(group, head, key)),
                _mean([run["cosines"]["intra"] for run in runs], 3),
                _mean([run["cosines"]["nearest_other"] for run in runs], 3),
                _mean([run["steps_per_second"] for run in runs], 1),
            ]
            rows.append(row)
            if known:
                row.insert(1, f"{known[head]:.2f}" if head in known else "")
    if known:
        header.insert(1, "Published")
    if poster and key == "test_error":
        rows += [
            [title, f"{x:.2f}", *[""] * 5] for title, x in published.CITED.get(name, {}).items()
        ]
    return _rows([header, *rows])


def _rows(lines):
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _is_faces(group):
    return "verification" in any_record(group)


def _faces(group):
    record = any_record(group)
    recipe, data = record["recipe"], record["data"]
    every = [run for runs in group.values() for run in runs.values()]
    parts = [
        f"## {recipe['title']}",
        "",
        f"{recipe['backbone']} at width {recipe['width']:g}, {len(record['epochs'])} epochs "
        f"({recipe['iterations']:,} steps of {recipe['batch_size']}), rate "
        f"{recipe['learning_rate']:g}, {recipe['precision']}, {data['train_images']:,} training "
        f"images of {data['train_people']:,} people. {_provenance(every)}",
        "",
    ]
    for name, test in data["tests"].items():
        skipped = record["verification"][name]["skipped"]
        parts += [
            f"Verification on {name}, {test['pairs']:,} pairs in {len(test['folds'])} folds"
            + (f", {skipped} of them skipped" if skipped else "")
            + (", flip-augmented" if test["flip"] else "")
            + ". Accuracy in %, mean over seeds, ± the standard error over the folds.",
            "",
            *_verification_table(name, group),
            "",
        ]
    return "\n".join(parts)


def _verification_table(name, group):
    known = published.VERIFICATION.get(name, {})
    fars = any_record(group)["verification"][name]["tar_at_far"]
    header = ["Head", "Accuracy", "Minus softmax, paired, 95%", "AUC", "EER, %"]
    header += [f"TAR at FAR {far}, %" for far in fars]
    rows = []
    for head in TITLES:
        runs = [run["verification"][name] for run in group.get(head, {}).values()]
        if not (runs or head in known):
            continue
        difference = paired_difference(
            group, head, "accuracy", figure=lambda run, key: run["verification"][name][key]
        )
        row = [TITLES[head], "not run", "", "", "", *[""] * len(fars)]
        if runs:
            accuracy, error, auc, eer = (
                statistics.fmean(run[key] for run in runs)
                for key in ("accuracy", "standard_error", "auc", "equal_error_rate")
            )
            row[1] = f"{accuracy:.2f} ± {error:.2f} (n = {len(runs)})"
            row[2:5] = [_interval(difference), f"{auc:.4f}", f"{eer:.2f}"]
            for column, far in enumerate(fars, start=5):
                values = [run["tar_at_far"][far] for run in runs]
                row[column] = (
                    "too few pairs" if None in values else f"{statistics.fmean(values):.2f}"
                )
        if known:
            row.insert(1, f"{known[head]:.2f}" if head in known else "")
        rows.append(row)
    if known:
        header.insert(1, "Published")
    return _rows([header, *rows])


def _mean(values, digits=2):
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"


def _interval(difference):
    return "" if difference is None else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*difference)


def _verdict(group):
    difference = paired_difference(group, "virtual")
    if difference is None:
        return []
    mean, low, high = difference
    if low <= 0 <= high:
        told = "are not told apart here: the interval of the difference holds zero"
    elif mean < 0:
        told = "differ here, and Virtual Softmax has the lower error"
    else:
        told = "differ here, and Virtual Softmax has the higher error"
    return [f"Virtual Softmax and Softmax {told}.", ""]
