"""A search for what retrieves best; test_search.py kills a process that runs it.

python -m tests.callbacks.search_job FOLDER
"""

import pathlib
import sys

import keras
import numpy as np

from keras_vsoftmax import tuning
from keras_vsoftmax.callbacks import RetrievalMetrics


class EagerSpace(tuning.HeadHyperModel):
    def build(self, hp):
        model = super().build(hp)
        model.run_eagerly = True
        return model


def data():
    """Samples to train on, of classes 0 to 2, and to search among, of classes 3 to 5."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 8))
    y = np.arange(96) % 6
    x = (centres[y] + 0.9 * rng.normal(size=(96, 8))).astype("float32")
    return (x[y < 3], y[y < 3]), (x[y >= 3], y[y >= 3])


def make_tuner(folder):
    space = EagerSpace(
        keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, "relu")]),
        3,
        heads=["virtual", "cosface"],
        embedding=[4, 8],
        batch_size=12,
        seed=4,
    )
    return tuning.RandomSearch(
        space, "val_recall_at_1", max_trials=4, directory=folder, project_name="search"
    )


def search(folder):
    train, unseen = data()
    tuner = make_tuner(folder)
    tuner.search(*train, epochs=2, verbose=0, callbacks=[RetrievalMetrics(*unseen)])
    return tuner


if __name__ == "__main__":
    # The backbone's weights are the same in every process.
    keras.utils.set_random_seed(1)
    search(pathlib.Path(sys.argv[1]))
