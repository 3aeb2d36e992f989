"""Training on several workers.

What Keras lacks (3.10 to 3.15): two functions of its TensorFlow trainer fail under
`tf.distribute.MultiWorkerMirroredStrategy`:

- `_maybe_symbolic_build` averages the first batch over all replicas, only to learn its shapes.
  With two workers that raises "Attempt to convert a value (PerReplica...)", and with replicas
  of different sizes it fails on one host as well.
- `reduce_per_replica` reduces the logs of a step over their axis 0, which a scalar lacks.

Relied upon: `_maybe_symbolic_build(data_batch=...)` builds from a batch, and `_distribute_strategy`
is the strategy in whose scope a model was made, or None. A test trains a plain `keras.Model` there,
and fails as soon as that works: then this module can go.
"""

import keras
from keras import ops as kops


class BuiltFromALocalBatch:
    """Mixin for a `keras.Model`: `fit` learns its shapes from the first replica of this worker."""

    @property
    def own_strategy(self):
        """The strategy in whose scope the model was made, or None."""
        return getattr(self, "_distribute_strategy", None)  # Keras's TensorFlow trainer has it

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras's TensorFlow trainer alone has and calls it.
        if iterator is not None and self.own_strategy is not None:
            data_batch = _local_batch(iterator, self.own_strategy)
        super()._maybe_symbolic_build(data_batch=data_batch)


def _local_batch(iterator, strategy):
    """The first batch of a Keras epoch iterator, as the first replica of this worker sees it."""
    *_, batches = next(iter(iterator))  # after one number in Keras 3.10, two in later ones
    return keras.tree.map_structure(
        lambda value: None if value is None else strategy.experimental_local_results(value)[0],
        next(batches),
    )


def reducible(logs):
    """The logs of a step, each with the axis over which Keras reduces them over workers."""
    if keras.backend.backend() != "tensorflow":
        return logs
    import tensorflow as tf

    if not isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return logs
    return {name: kops.reshape(value, (1,)) for name, value in logs.items()}
