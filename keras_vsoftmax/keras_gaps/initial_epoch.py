"""The epoch at which a training begins, set by a callback."""


def begin_at(model, epoch):
    """Let the training that begins, in `on_train_begin`, begin at this epoch, from 0.

    None leaves it to `fit` again, which would begin all later trainings there.

    What Keras lacks (3.10 to 3.15): a callback cannot change the `initial_epoch` of `fit`. Relied
    upon: `Model._initial_epoch`, by which `keras.callbacks.BackupAndRestore` does it.
    """
    model._initial_epoch = epoch
