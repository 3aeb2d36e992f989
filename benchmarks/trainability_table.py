"""Tables of the runs of trainability.py: each case, each against softmax, each cause by itself.

For every part of a data set and length of a run there are three tables. The first has the mean
over the seeds of each case. The second has the paired differences to softmax on the same network,
with 95% intervals by Student's t, and p-values by Holm's method over all comparisons of the
figure that are printed at once. The third has the cases of one head that differ in one thing
alone, paired likewise.

    python benchmarks/trainability_table.py runs/trainability

Records can be kept without their folders, a line each, and read in their place:

    python benchmarks/trainability_table.py runs/trainability --save results/trainability.jsonl
    python benchmarks/trainability_table.py results/trainability.jsonl
"""

import argparse
import dataclasses
import itertools
import json
import statistics

from scipy.stats import ttest_rel
from trainability import Case

from keras_vsoftmax.experiments.report import tables
from keras_vsoftmax.experiments.scripts import options
from keras_vsoftmax.experiments.training import records
from keras_vsoftmax.utils.files import atomic_path

_FIGURES = {
    "Test error": lambda run: run["test_error"],
    "Training error": lambda run: run["train_error"],
    "Pair AUC": lambda run: run["seen"]["auc"],
    "Recall@1": lambda run: run["seen"]["recall"],
    "Unseen AUC": lambda run: run["unseen"]["auc"],
    "Unseen recall@1": lambda run: run["unseen"]["recall"],
}
_TIMES = ("start", "epoch 1", "middle", "end")
_PROBES = (
    "loss above floor",
    "v - lse",
    "others' share",
    "feature norm",
    "kernel norm",
    "label cosine",
)
# Of a record, for a file of its own.
_KEPT = ("head", "seed", "recipe", "knobs", "data", "test_error", "train_error", "seen", "unseen")
_KEPT += ("probe", "device", "versions", "date")
_PLAIN = "norm"  # the ending that the others are compared with


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources", nargs="+", type=options.folder, help="folders of runs, or .jsonl files"
    )
    parser.add_argument("--seeds", nargs="+", type=int, help="those alone; all by default")
    parser.add_argument("--save", type=options.folder, metavar="FILE", help="keep the records")
    args = parser.parse_args(argv)
    found = [record for source in args.sources for record in _read(source)]
    if args.save is not None:
        _save(found, args.save)
    settings = _settings(r for r in found if args.seeds is None or r["seed"] in args.seeds)
    adjusted = _holm(settings)
    for setting, group in sorted(settings.items()):
        print("\n".join([f"## {setting}", "", *_setting(setting, group, adjusted)]))


def _read(source):
    if source.suffix == ".jsonl":
        return [json.loads(line) for line in source.read_text().splitlines()]
    return records.find([source])


def _save(found, path):
    """Write what the tables are made of, and where it was measured."""
    lines = [
        json.dumps({key: record[key] for key in _KEPT if key in record})
        for record in sorted(
            found, key=lambda record: (record["data"]["train_images"], *_who(record))
        )
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def _who(record):
    return Case.of(record).label, record["seed"]


def _settings(found):
    """Records by setting, case and seed."""
    settings = {}
    for record in found:
        recipe, data = record["recipe"], record["data"]
        setting = (
            f"{recipe['data']}, {data['train_images']:,} images of {data['classes']} classes, "
            f"{recipe['backbone']} x{recipe['width']:g}, {_epochs(record)} epochs "
            f"({recipe['iterations']:,} steps of {recipe['batch_size']}), rate "
            f"{recipe['learning_rate']:g}"
        )
        group = settings.setdefault(setting, {})
        group.setdefault(Case.of(record), {})[record["seed"]] = record
    return settings


def _epochs(record):
    recipe = record["recipe"]
    return recipe["iterations"] // (record["data"]["train_images"] // recipe["batch_size"])


def _setting(setting, group, adjusted):
    figures = _figures_of(group)
    order = sorted(group, key=lambda case: case.label)
    lines = [["Case", "Seeds", *figures, *(f"{probe}: {', '.join(_TIMES)}" for probe in _PROBES)]]
    for case in order:
        runs = group[case].values()
        means = [f"{statistics.fmean(map(get, runs)):.2f}" for get in figures.values()]
        probes = [
            ", ".join(
                f"{statistics.fmean(run['probe'][when][probe] for run in runs):.2f}"
                for when in _TIMES
            )
            for probe in _PROBES
        ]
        lines.append([case.label, str(len(runs)), *means, *probes])

    against = [["Case, minus softmax on the same network", "Seeds", *figures]]
    for case in order:
        baseline = _baseline(case)
        if case != baseline and baseline in group:
            cells = []
            for title, get in figures.items():
                p = adjusted[title].get((setting, case))
                cells.append(
                    _interval(group, case, baseline, get) + ("" if p is None else f", p {p:.2g}")
                )
            against.append([case.label, _common(group, case, baseline), *cells])

    causes = [["What differs", "Seeds", *figures]]
    for plain, changed in itertools.permutations(order, 2):
        if _adds_one_thing(plain, changed):
            cells = [_interval(group, changed, plain, get) for get in figures.values()]
            name = f"{changed.label} minus {plain.label}"
            causes.append([name, _common(group, changed, plain), *cells])
    found = [tables.rows(lines), tables.rows(against), tables.rows(causes)]
    return [line for rows in found for line in (*rows, "")]


def _figures_of(group):
    complete = all("unseen" in run for runs in group.values() for run in runs.values())
    return {name: get for name, get in _FIGURES.items() if complete or "Unseen" not in name}


def _baseline(case):
    return Case("softmax", case.ending, embedding=case.embedding)


def _adds_one_thing(plain, changed):
    """Whether `changed` is `plain` but for one thing that is not at its default in it."""
    default = Case(plain.head, _PLAIN)
    different = [
        field.name
        for field in dataclasses.fields(Case)
        if getattr(plain, field.name) != getattr(changed, field.name)
    ]
    return (
        len(different) == 1
        and different != ["head"]
        and getattr(plain, different[0]) == getattr(default, different[0])
    )


def _interval(group, case, baseline, get):
    return tables.interval(
        tables.paired_difference(group, case, baseline=baseline, figure=lambda run, _: get(run))
    )


def _common(group, case, baseline):
    return str(len(set(group[case]) & set(group[baseline])))


def _holm(settings):
    """p-values of the paired t-tests against softmax, by Holm's method, for each figure."""
    adjusted = {}
    for title, get in _FIGURES.items():
        raw = {}
        for setting, group in settings.items():
            if title not in _figures_of(group):
                continue
            for case in group:
                seeds = sorted(set(group[case]) & set(group.get(_baseline(case), ())))
                if case != _baseline(case) and len(seeds) > 1:
                    sides = [[get(group[c][s]) for s in seeds] for c in (case, _baseline(case))]
                    raw[setting, case] = float(ttest_rel(*sides).pvalue)
        adjusted[title] = tables.holm(raw)
    return adjusted


if __name__ == "__main__":
    main()
