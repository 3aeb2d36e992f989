import dataclasses
import json

import pytest

from keras_vsoftmax.experiments.training import recipes


@pytest.fixture
def make_record():
    """Makes a record as a run would leave it, with a test error that is given."""

    def make(head, seed, error, recipe=recipes.MNIST):
        rows = [
            {"epoch": 1, "iterations": 234, "test_error": 2 * error, "test_top5_error": error},
            {"epoch": 2, "iterations": 468, "test_error": error, "test_top5_error": error / 2},
        ]
        record = {
            "recipe": dataclasses.asdict(recipe),
            "head": head,
            "seed": seed,
            "data": {"source": "x.npz", "train_images": 60_000, "test_images": 10_000},
            "epochs": rows,
            "steps_per_second": 8.0,
            "cosines": {"intra": 0.9 + seed / 100, "nearest_other": 0.2},
            "device": "2 CPU cores",
            "versions": {"keras": "3.15.1"},
            "date": "2026-11-24",
        }
        return json.loads(json.dumps(record))

    return make
