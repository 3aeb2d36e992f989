"""Parts of Markdown tables of runs, and the comparison of heads in them."""

import math
import statistics
import warnings

from keras_vsoftmax.experiments.training.recipes import TITLES
from keras_vsoftmax.experiments.training.records import is_synthetic, last
from keras_vsoftmax.utils.extras import require


def paired_difference(group, head, key="test_error", baseline="softmax", figure=last):
    """Mean difference of a head to the baseline over the seeds that both ran, with an interval.

    The figure compared is `figure(record, key)`.

    Returns:
        `(mean, low, high)`, the bounds those of a 95% interval by Student's t, or `None` where
        fewer than two seeds are common.
    """
    runs, others = group.get(head, {}), group.get(baseline, {})
    common = sorted(runs.keys() & others)
    if head == baseline or len(common) < 2:
        return None
    stats = require("scipy.stats", extra="examples", feature="Comparing heads")
    ours, theirs = ([figure(side[seed], key) for seed in common] for side in (runs, others))
    with warnings.catch_warnings():  # differences all alike: their interval is that point
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = map(float, stats.ttest_rel(ours, theirs).confidence_interval(0.95))
    return (low + high) / 2, low, high


def holm(p_values):
    """p-values for several comparisons at once, by Holm's method.

    Args:
        p_values: dict of the p-value of each. NaN is that of a paired test whose differences are
            all zero, and counts as 1.

    Returns:
        A dict with the same keys, the smallest first.
    """
    known = {key: 1.0 if math.isnan(p) else p for key, p in p_values.items()}
    adjusted, highest = {}, 0.0
    for place, key in enumerate(sorted(known, key=known.get)):
        highest = max(highest, min(1.0, (len(known) - place) * known[key]))
        adjusted[key] = highest
    return adjusted


def heads_of(group):
    """The heads of a group, in the order of the tables."""
    return [head for head in TITLES if head in group]


def training(record):
    """How a run was trained, in words."""
    recipe = record["recipe"]
    rate = recipe.get("disturb_label")
    disturbed = f", labels redrawn at a rate of {rate:g}" if rate else ""
    warmup, strength = recipe.get("virtual_warmup", 0), recipe.get("virtual_strength", 1)
    virtual = f", the virtual class coming in over {warmup:.0%} of the steps" if warmup else ""
    virtual += f", {strength:g} of it" if strength != 1 else ""
    return (
        f"{recipe['backbone']} at width {recipe['width']:g}, {len(record['epochs'])} epochs "
        f"({recipe['iterations']:,} steps of {recipe['batch_size']}), rate "
        f"{recipe['learning_rate']:g}, {recipe['precision']}{disturbed}{virtual}"
    )


def trial_note(record):
    """What to say of a run that is no measurement; empty for one that is."""
    if is_synthetic(record):
        return "**Synthetic data, no measurement.** "
    if record.get("variant") == "quick":
        return "**A trial of a few steps on a slice of the data, no measurement.** "
    return ""


def provenance(records):
    """Device, version and date of some records."""
    keras = _all([run["versions"] for run in records], "keras", "keras ")
    return f"{_all(records, 'device')}; {keras}; {_all(records, 'date')}."


def _all(records, key, prefix=""):
    return prefix + ", ".join(sorted({record[key] for record in records}))


def rows(lines):
    """Markdown lines of a table: the header, and the rows after it."""
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return ["| " + " | ".join(line) + " |" for line in lines]


def mean(values, digits=2):
    """Mean and standard deviation in words, nothing where there are no values."""
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"


def interval(difference):
    """A paired difference in words."""
    return "" if difference is None else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*difference)
