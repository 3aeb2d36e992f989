"""The optimiser of a recipe."""

import keras

from keras_vsoftmax.experiments.training.schedules import LinearWarmup


def make_optimizer(recipe, learning_rate=None):
    """SGD whose rate falls, and rises before, as a recipe says.

    Args:
        recipe: a `Recipe`.
        learning_rate: float, in the place of the recipe's.
    """
    start = recipe.learning_rate if learning_rate is None else learning_rate
    rates = [start * 0.1**drop for drop in range(len(recipe.drops) + 1)]
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(list(recipe.drops), rates)
    if recipe.rate_warmup:
        rate = LinearWarmup(rate, recipe.rate_warmup)
    return keras.optimizers.SGD(rate, momentum=recipe.momentum, nesterov=recipe.nesterov)
