"""The one place of the core that asks TensorFlow about tf.distribute.

The other backends trace one program for the global batch, so that there is one replica there.
"""

import keras


def replica_id():
    """The number of this replica under a tf.distribute strategy: 0 elsewhere."""
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def count():
    """How many replicas run this code side by side: 1 outside of a replica."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def total(value):
    """The sum of a tensor over the replicas. No gradient flows through it."""
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(value))


def gathered(value):
    """The rows of a tensor on all replicas, one after the other. No gradient flows through it."""
    import tensorflow as tf

    return _context().all_gather(tf.stop_gradient(value), axis=0)


def require_rows(value, reason):
    """Ends the step with an error where this replica has no rows of the global batch."""
    import tensorflow as tf

    tf.debugging.assert_positive(
        tf.shape(value)[0],
        f"The global batch has fewer rows than there are replicas ({count()}), so that some of "
        f"them got none. {reason}",
    )


def _context():
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()
