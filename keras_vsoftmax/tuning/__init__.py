"""Search over heads and their knobs with Keras Tuner. Needs the `tuner` extra."""

from keras_vsoftmax.tuning.hypermodel import HeadHyperModel
from keras_vsoftmax.tuning.tuners import (
    BayesianOptimization,
    GridSearch,
    Hyperband,
    RandomSearch,
)

__all__ = ["BayesianOptimization", "GridSearch", "HeadHyperModel", "Hyperband", "RandomSearch"]
