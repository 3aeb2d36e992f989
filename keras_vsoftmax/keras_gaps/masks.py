"""The mask by which a loss leaves values out of its own mean.

What Keras lacks (3.10 to 3.15): a public way for the `call` of a `keras.losses.Loss` to say which
of its values do not count. An attribute cannot be set on a tensor that JAX traces. Relied upon:
`set_keras_mask` and `get_keras_mask`, by which Keras's own `ignore_class` does it, and that
`Loss.__call__` reduces under that mask.
"""

from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

__all__ = ["get_keras_mask", "set_keras_mask"]
