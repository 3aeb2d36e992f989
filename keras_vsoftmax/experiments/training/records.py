"""One JSON record a run: written whole or not at all, and checked when read."""

import json
import pathlib

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.training import recipes
from keras_vsoftmax.utils.files import atomic_path

NAME = "record.json"

_KEYS = {"recipe", "head", "seed", "data", "epochs", "device", "date", "versions"}
_PARTS = {"recipe": ("name", "title"), "data": ("source",), "versions": ("keras",)}


def write(record, path):
    """Write a JSON file in one piece."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


def read(path):
    """Read one record.

    Raises:
        ExperimentError: where the file is no record.
    """
    try:
        record = json.loads(pathlib.Path(path).read_text())
        missing = _KEYS - record.keys()
        missing |= {
            f"{key} in {part}"
            for part, keys in _PARTS.items()
            for key in keys
            if part in record and key not in record[part]
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ExperimentError(f"{path}: is no readable record ({error})") from error
    if missing:
        raise ExperimentError(f"{path}: is no record. Received: no {', '.join(sorted(missing))}")
    return record


def find(paths):
    """All records in files and, at any depth, in folders.

    Raises:
        ExperimentError: for a path with no record in it.
    """
    records = []
    for path in map(pathlib.Path, paths):
        files = sorted(path.rglob(NAME)) if path.is_dir() else [path]
        if not files:
            raise ExperimentError(f"{path}: there is no {NAME} in this folder")
        records += map(read, files)
    return records


def is_synthetic(record):
    """Whether a run was on made-up images."""
    return record["data"]["source"] == "synthetic"


def groups(records):
    """Records that may be compared with each other: all but head and seed is the same.

    Returns:
        A list of `{head: {seed: record}}`, in the order in which they came.

    Raises:
        ExperimentError: for two different records of the same head and seed.
    """
    found = {}
    for record in records:
        data = {key: value for key, value in record["data"].items() if key != "source"}
        recipe = recipes.completed(record["recipe"])
        kind = (record.get("variant", ""), is_synthetic(record))
        key = json.dumps((recipe, data, *kind), sort_keys=True)
        seeds = found.setdefault(key, {}).setdefault(record["head"], {})
        if seeds.setdefault(record["seed"], record) != record:
            raise ExperimentError(
                f"There are two runs of {record['head']} with seed {record['seed']} by the recipe "
                f"{recipe['name']}, and one of them can be shown: name their folders one by one. "
                f"Received: {_told(seeds[record['seed']])}, and {_told(record)}"
            )
    return list(found.values())


def _told(record):
    return f"that of {record['date']} ({record.get('command', 'of an unknown command')})"


def last(record, key="test_error"):
    """The figure after the last epoch, the one that is reported."""
    return record["epochs"][-1][key]


def any_record(group):
    """One of the records of a group, for what they have in common."""
    return next(iter(next(iter(group.values())).values()))
