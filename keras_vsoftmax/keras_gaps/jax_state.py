"""The weights of a model while JAX trains it."""

import keras


def sync(model):
    """Bring the weights of a model in training back from JAX's state into its variables.

    What Keras lacks (3.10 to 3.15): on JAX `fit` keeps the weights in a state of its own, and
    writes them back when an epoch is over, of which a layer, or another model over the same
    weights, is not told. Relied upon: the undocumented `Model.jax_state_sync`.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()
