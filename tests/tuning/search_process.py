"""One process of a distributed search, the chief or a worker; test_distributed.py runs it.

    python search_process.py FOLDER TUNER WORKER_TIMEOUT

In FOLDER it leaves a file `begun-WORKER-PID-NUMBER` for each training that begins, and
`ended-...` for each that ends. A worker waits for ever in its first training where a file
`hang-WORKER` lies there. The chief prints the trials as JSON.
"""

import json
import os
import pathlib
import sys
import time

import keras
import numpy as np

from keras_vsoftmax import tuning

folder, kind, worker_timeout = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
process = os.environ["KERASTUNER_TUNER_ID"]


class Log(keras.callbacks.Callback):
    number = 0

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, logs=None):
        Log.number += 1
        self._mark("begun")
        while (folder / f"hang-{process}").exists():
            time.sleep(0.1)

    def on_train_end(self, logs=None):
        self._mark("ended")

    def _mark(self, what):
        (folder / f"{what}-{process}-{os.getpid()}-{self.number}").touch()


class EagerSpace(tuning.HeadHyperModel):
    def build(self, hp):
        model = super().build(hp)
        model.run_eagerly = True
        return model


rng = np.random.default_rng(0)
y = rng.integers(0, 3, 48)
x = (rng.normal(size=(48, 6)) + 3 * np.eye(6)[y]).astype("float32")
backbone = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu")])
space = EagerSpace(
    backbone,
    3,
    heads=["virtual", "cosface"],
    embedding=None,
    weight_decay=None,
    batch_size=24,
    learning_rate=[0.01, 0.03],
    cosface_margin=[0.1, 0.3],
    cosface_scale=16.5,
    seed=4,
)
tuner = getattr(tuning, kind)(
    space,
    max_trials=6,
    directory=folder,
    project_name="search",
    worker_timeout=worker_timeout,
)
tuner.search(x, y, epochs=1, validation_split=0.5, verbose=0, callbacks=[Log()])
if process == "chief":
    trials = [
        {"status": trial.status, "score": trial.score, "values": trial.hyperparameters.values}
        for _, trial in sorted(tuner.oracle.trials.items())
    ]
    shape = tuner.get_best_models()[0].predict(x, verbose=0).shape
    print(json.dumps({"trials": trials, "shape": shape}))
