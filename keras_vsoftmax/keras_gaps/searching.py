"""The place of a value in a sorted row of numbers."""

import keras
from keras import ops


def searchsorted(ascending, values):
    """int32, like `keras.ops.searchsorted`: how many numbers of a row (n,) are less than each.

    What Keras lacks (3.10, no longer 3.15): in a function that TensorFlow traces, its own asks
    for the `len` of a symbolic tensor, which has none. Relied upon: `tensorflow.searchsorted`.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.searchsorted(ascending, values, out_type="int32")
    return ops.cast(ops.searchsorted(ascending, values), "int32")
