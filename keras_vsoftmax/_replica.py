"""The one place of the core that asks TensorFlow about tf.distribute."""

import keras


def replica_id():
    """The number of this replica under a tf.distribute strategy: 0 elsewhere.

    Under JAX a program draws once for the global batch, so that there is nothing to keep apart.
    """
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group
