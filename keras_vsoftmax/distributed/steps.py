"""Counts of training steps: weights that files carry, the same on every replica."""

from keras import ops


def add_counter(layer, name="step"):
    """Add to a layer or model a weight that counts its training steps, from 0."""
    return layer.add_weight(
        name=name,
        shape=(),
        initializer="zeros",
        dtype="int",
        trainable=False,
        aggregation="only_first_replica",
    )


def count_one(counter):
    """Return the number of this training step, from 0, an integer tensor, and count it."""
    step = ops.convert_to_tensor(counter) * 1  # a copy, before it is assigned
    counter.assign_add(1)
    return step
