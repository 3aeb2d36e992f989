"""What dropout draws in a run, as a function of the seed and the epoch."""

import keras
import numpy as np

from keras_vsoftmax.keras_gaps.sublayers import sublayers


class DropoutDraws:
    """The draws of all dropout layers in a model, begun anew in each epoch.

    Keras keeps the state of their generators in no file of weights, so that a resumed run would
    draw again what its first epoch drew.

    Args:
        model: the model in training.
        seed: of the draws.
    """

    def __init__(self, model, seed):
        self.seed = seed
        self._generators = [
            layer.seed_generator
            for layer in sublayers(model)
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0
        ]

    def begin_epoch(self, epoch):
        """Start the draws of an epoch."""
        for number, generator in enumerate(self._generators, 1):
            # 31 bits, since torch's seeds are signed.
            words = np.random.SeedSequence((self.seed, epoch, number)).generate_state(2) >> 1
            generator.state.assign(words)
