"""Learning rates that Keras lacks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose rate rises linearly from 0 over its first steps.

        rate(step) = min(1, (step + 1) / steps) schedule(step)

    Args:
        schedule: a `keras.optimizers.schedules.LearningRateSchedule`.
        steps: integer, at least 1.

    Example:

    >>> constant = keras.optimizers.schedules.PiecewiseConstantDecay([100], [0.1, 0.01])
    >>> round(float(LinearWarmup(constant, 10)(4)), 6)
    0.05
    """

    def __init__(self, schedule, steps):
        self.schedule = schedule
        self.steps = int(steps)

    def __call__(self, step):
        rate = ops.convert_to_tensor(self.schedule(step))
        share = (ops.cast(step, rate.dtype) + 1) / self.steps
        return rate * ops.minimum(share, 1.0)

    def get_config(self):
        return {
            "schedule": keras.optimizers.schedules.serialize(self.schedule),
            "steps": self.steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["steps"])
