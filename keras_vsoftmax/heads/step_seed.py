"""A seed that is a function of a step, so that what is drawn is one of it, too."""

import keras
from keras import ops as kops


class StepSeed(keras.random.SeedGenerator):
    """A seed made from (seed, step, replica), where Keras's own keeps a state.

    Args:
        seed: Integer.
        step: Integer tensor.
        replica: The number of the replica, where each draws for itself.
    """

    def __init__(self, seed, step, replica=0):
        # Some backends add the two words up: spread the seed over the range to keep (seed, step)
        # and (seed + 1, step - 1) apart.
        self._first = (seed * 2654435761) % 2**31
        self._step = step
        self._replica = replica

    def next(self, ordered=True):
        second = kops.cast(self._step, "int32") + self._replica * 2**24
        words = kops.stack([kops.full_like(second, self._first), second])
        # JAX's keys are unsigned, the other backends take signed words.
        return kops.cast(words, "uint32") if keras.backend.backend() == "jax" else words
