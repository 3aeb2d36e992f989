"""The tables of the poster with a measured column, from the records of runs."""

import json
import statistics

from keras_vsoftmax._extras import require
from keras_vsoftmax.experiments import published, recipes

TITLES = {
    "softmax": "Softmax",
    "noisy": "Noisy Softmax",
    "large_margin": "L-Softmax",
    "angular": "A-Softmax",
    "virtual": "Virtual Softmax",
    "normface": "NormFace",
    "angular_normface": "A-Softmax with NormFace",
    "arcface": "ArcFace",
    "cosface": "CosFace",
    "synthetic_virtual": "SV-Softmax",
}

_POSTER = (
    recipes.MNIST,
    recipes.SVHN,
    recipes.CIFAR10,
    recipes.CIFAR100,
    recipes.CIFAR100_PLUS,
    recipes.IMAGENET32,
)


def groups(records):
    """Records that may be compared with each other: all but head and seed is the same.

    Returns:
        A list of `{head: {seed: record}}`, in the order in which they came.
    """
    found = {}
    for record in records:
        data = {key: value for key, value in record["data"].items() if key != "source"}
        synthetic = record["data"]["source"] == "synthetic"
        key = json.dumps((record["recipe"], data, synthetic), sort_keys=True)
        found.setdefault(key, {}).setdefault(record["head"], {})[record["seed"]] = record
    return list(found.values())


def tables(records):
    """Markdown: one table for each group of records."""
    return "\n".join(_section(group) for group in groups(records))


def document(records):
    """Markdown: every table of the poster, and beside it what was measured or that it was not."""
    grouped = groups(records)
    parts = ["# Measured beside published", ""]
    for recipe in _POSTER:
        measured = [group for group in grouped if _any(group)["recipe"]["name"] == recipe.name]
        parts += map(_section, measured)
        if not measured:
            parts += [f"## {recipe.title}", "", "Not run.", ""]
            parts += [*_table(recipe.name, {}, "test_error", published.OWN_RUNS), ""]
    poster = {recipe.name for recipe in _POSTER}
    parts += [_section(group) for group in grouped if _any(group)["recipe"]["name"] not in poster]
    return "\n".join(parts)


def paired_difference(group, head, key="test_error", baseline="softmax"):
    """Mean difference of a head to the baseline over the seeds that both ran, with an interval.

    Returns:
        `(mean, low, high)`, the bounds those of a 95% interval by Student's t, or `None` where
        fewer than two seeds are common.
    """
    runs, others = group.get(head, {}), group.get(baseline, {})
    differences = [runs[seed][key] - others[seed][key] for seed in sorted(runs.keys() & others)]
    if head == baseline or len(differences) < 2:
        return None
    stats = require("scipy.stats", extra="examples", feature="Comparing heads")
    mean = statistics.fmean(differences)
    quantile = stats.t.ppf(0.975, len(differences) - 1)
    half = float(quantile) * statistics.stdev(differences) / len(differences) ** 0.5
    return mean, mean - half, mean + half


def _any(group):
    return next(iter(next(iter(group.values())).values()))


def _section(group):
    record = _any(group)
    name = record["recipe"]["name"]
    parts = [f"## {record['recipe']['title']}", "", _caption(group), ""]
    parts += [*_table(name, group, "test_error", published.OWN_RUNS), ""]
    if record["recipe"]["top5"]:
        parts += ["Top-5 error:", ""]
        parts += [*_table(name, group, "test_top5_error", published.TOP5), ""]
    return "\n".join([*parts, *_verdict(group)])


def _caption(group):
    record = _any(group)
    recipe, data = record["recipe"], record["data"]
    every = [run for runs in group.values() for run in runs.values()]
    synthetic = "**Synthetic data, no measurement.** " if data["source"] == "synthetic" else ""
    return (
        f"{synthetic}Test error in % after the last epoch, mean ± standard deviation over seeds. "
        f"{recipe['backbone']} at width {recipe['width']:g}, {len(record['epochs'])} epochs "
        f"({recipe['iterations']:,} steps of {recipe['batch_size']}), rate "
        f"{recipe['learning_rate']:g}, {recipe['precision']}, {data['train_images']:,} training "
        f"and {data['test_images']:,} test images. {_all(every, 'device')}; "
        f"{_all([run['versions'] for run in every], 'keras', 'keras ')}; {_all(every, 'date')}."
    )


def _all(records, key, prefix=""):
    return prefix + ", ".join(sorted({record[key] for record in records}))


def _table(name, group, key, own_runs):
    known, cited = own_runs.get(name, {}), published.CITED.get(name, {})
    header = ["Head", "Measured", "Minus softmax, paired, 95%", "Intra cosine"]
    header += ["Nearest-other cosine", "Steps/s"]
    rows = []
    for head, title in TITLES.items():
        if head in known or head in group:
            runs = list(group.get(head, {}).values())
            errors = [run[key] for run in runs]
            rows.append(
                [
                    title,
                    f"{_mean(errors)} (n = {len(errors)})" if errors else "not run",
                    _interval(paired_difference(group, head, key)),
                    _mean([run["cosines"]["intra"] for run in runs], 3),
                    _mean([run["cosines"]["nearest_other"] for run in runs], 3),
                    _mean([run["steps_per_second"] for run in runs], 1),
                ]
            )
    if known:
        header.insert(1, "Published")
        for row, head in zip(rows, [head for head in TITLES if head in known or head in group]):
            row.insert(1, f"{known[head]:.2f}" if head in known else "")
    if known and key == "test_error":
        rows += [[title, f"{error:.2f}", *[""] * 5] for title, error in cited.items()]
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


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
