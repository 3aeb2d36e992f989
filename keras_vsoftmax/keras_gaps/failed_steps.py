"""A model that stays usable after a step that failed."""

import contextlib

import keras


class UsableAfterErrors:
    """Mixin for a `keras.Model`: a step that fails leaves the weights, and a model to go on with.

    What Keras lacks (3.10 to 3.15): on JAX `fit`, `evaluate` and `predict` empty the variables
    while they run, and lose the weights with a step that raises; on TensorFlow a function that
    failed before it made its variables fails for ever. Relied upon: the keyword argument
    `purge_model_variables` of `Model._get_jax_state`, and the public `jax_state_sync`,
    `train_function` and `test_function`.
    """

    @contextlib.contextmanager
    def usable_after_error(self):
        """Bring the model back where Keras would leave it broken after a step that failed."""
        try:
            yield
        except Exception:
            self.train_function = self.test_function = None
            if keras.backend.backend() == "jax":
                self.jax_state_sync()
            raise

    def _get_jax_state(self, **kwargs):
        return super()._get_jax_state(**{**kwargs, "purge_model_variables": False})
