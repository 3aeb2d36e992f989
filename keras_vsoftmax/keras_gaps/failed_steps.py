"""A model that stays usable after a step that failed."""

import contextlib

from keras_vsoftmax.keras_gaps import jax_state


class UsableAfterErrors:
    """Mixin for a `keras.Model`: a step that fails leaves the weights, and a model to go on with.

    What Keras lacks (3.10 to 3.15): on JAX `fit`, `evaluate` and `predict` empty the variables
    while they run, and lose the weights with a step that raises; on TensorFlow a function that
    failed before it made its variables fails for ever. Relied upon: the keyword argument
    `purge_model_variables` of `Model._get_jax_state`, and that
    `train_function` and `test_function` are made anew once they are None.
    """

    @contextlib.contextmanager
    def usable_after_error(self):
        """Bring the model back where Keras would leave it broken after a step that failed."""
        try:
            yield
        except Exception:
            self.train_function = self.test_function = None
            jax_state.sync(self)
            raise

    def _get_jax_state(self, **kwargs):
        return super()._get_jax_state(**{**kwargs, "purge_model_variables": False})
