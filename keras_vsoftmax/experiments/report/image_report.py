"""Tables of image sets: the poster's columns of errors, and what was measured."""

from keras_vsoftmax.experiments.report import figures, published
from keras_vsoftmax.experiments.report.section import Section
from keras_vsoftmax.experiments.report.tables import (
    interval,
    mean,
    paired_difference,
    provenance,
    rows,
    training,
    trial_note,
)
from keras_vsoftmax.experiments.training import recipes
from keras_vsoftmax.experiments.training.recipes import TITLES
from keras_vsoftmax.experiments.training.records import any_record, is_synthetic, last

_POSTER = (
    recipes.MNIST,
    recipes.SVHN,
    recipes.CIFAR10,
    recipes.CIFAR100,
    recipes.CIFAR100_PLUS,
    recipes.IMAGENET32,
)


class ImageSection(Section):
    """Test errors after the last epoch, and the cosines of the embeddings."""

    key = "cosines"

    def tables(self, group):
        return _section(group)

    def document(self, groups):
        parts = []
        for recipe in _POSTER:
            measured = [
                group for group in groups if any_record(group)["recipe"]["name"] == recipe.name
            ]
            cited = cited_rows(recipe.name, measured)
            parts += [_section(group, cited) for group in measured]
            if not measured:
                parts += [f"## {recipe.title}", "", "Not run.", ""]
                parts += [*_table(recipe.name, {}, "test_error", published.OWN_RUNS, cited), ""]
        poster = {recipe.name for recipe in _POSTER}
        parts += [
            _section(group, cited=())
            for group in groups
            if any_record(group)["recipe"]["name"] not in poster
        ]
        return parts

    def figures(self, group, folder, index):
        name = f"convergence-{index}-{any_record(group)['recipe']['name']}.png"
        figures.convergence(group, folder / name)
        return f"\n![Test error against steps]({name})\n"


def _section(group, cited=None):
    record = any_record(group)
    name = record["recipe"]["name"]
    parts = [f"## {record['recipe']['title']}", "", _caption(group), ""]
    parts += [*_table(name, group, "test_error", published.OWN_RUNS, cited), ""]
    if record["recipe"]["top5"]:
        parts += ["Top-5 error:", ""]
        top5 = None if cited is None else ()
        parts += [*_table(name, group, "test_top5_error", published.TOP5, top5), ""]
    return "\n".join([*parts, *_verdict(group)])


def _caption(group):
    record = any_record(group)
    data = record["data"]
    every = [run for runs in group.values() for run in runs.values()]
    note = trial_note(record)
    return (
        f"{note}Test error in % after the last epoch, mean ± standard deviation over seeds. "
        f"{training(record)}, {data['train_images']:,} training and "
        f"{data['test_images']:,} test images. {provenance(every)}"
    )


def _table(name, group, key, own_runs, cited=None):
    """Rows of the measured heads; with `cited` rows also the heads that only the poster has."""
    # What was published about the real images is no company for made-up ones.
    made_up = bool(group) and is_synthetic(any_record(group))
    known = {} if made_up else own_runs.get(name, {})
    header = ["Head", "Measured", "Minus softmax, paired, 95%", "Intra cosine"]
    header += ["Nearest-other cosine", "Steps/s"]
    lines = []
    for head in TITLES:
        if head in group or (cited is not None and head in known):
            runs = list(group.get(head, {}).values())
            errors = mean([last(run, key) for run in runs])
            row = [
                TITLES[head],
                f"{errors} (n = {len(runs)})" if runs else "not run",
                interval(paired_difference(group, head, key)),
                mean([run["cosines"]["intra"] for run in runs], 3),
                mean([run["cosines"]["nearest_other"] for run in runs], 3),
                mean([run["steps_per_second"] for run in runs], 1),
            ]
            lines.append(row)
            if known:
                row.insert(1, f"{known[head]:.2f}" if head in known else "")
    if known:
        header.insert(1, "Published")
    if cited and not made_up:
        lines += [[*row, *[""] * 4] for row in cited]
    return rows([header, *lines])


def cited_rows(name, groups):
    """What the poster cites for a data set, and what was measured for it: lists of three cells.

    A system is measured by the runs of its backbone with its paper's head, whatever the width
    and length, which stand beside the error.
    """
    lines = []
    for title, figure in published.CITED.get(name, {}).items():
        measured = ""
        if title in published.CITED_BACKBONES:
            found = [_system(title, name, group) for group in groups]
            measured = "; ".join(filter(None, found)) or "not run"
        lines.append([title, f"{figure:.2f}", measured])
    return lines


def _system(title, name, group):
    record = any_record(group)
    recipe = record["recipe"]
    backbones, rate = published.CITED_BACKBONES[title], recipe.get("disturb_label")
    matches = rate if backbones is None else recipe["backbone"] in backbones and not rate
    runs = list(group.get(published.cited_head(title, name), {}).values())
    if not matches or not runs or trial_note(record):
        return ""
    return (
        f"{mean([last(run) for run in runs])} (n = {len(runs)}, {recipe['backbone']} at width "
        f"{recipe['width']:g}, {len(record['epochs'])} epochs)"
    )


def _verdict(group):
    difference = paired_difference(group, "virtual")
    if difference is None:
        return []
    centre, low, high = difference
    if low <= 0 <= high:
        told = "are not told apart here: the interval of the difference holds zero"
    elif centre < 0:
        told = "differ here, and Virtual Softmax has the lower error"
    else:
        told = "differ here, and Virtual Softmax has the higher error"
    return [f"Virtual Softmax and Softmax {told}.", ""]
