import keras
import pytest

from keras_vsoftmax.experiments.training.schedules import LinearWarmup


@pytest.mark.core
def test_the_rate_rises_and_then_follows_the_schedule():
    drops = keras.optimizers.schedules.PiecewiseConstantDecay([6], [0.4, 0.04])
    schedule = LinearWarmup(drops, 4)
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(8)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.04])


@pytest.mark.core
def test_it_is_saved_with_the_optimizer():
    drops = keras.optimizers.schedules.PiecewiseConstantDecay([6], [0.4, 0.04])
    optimizer = keras.optimizers.SGD(LinearWarmup(drops, 4), nesterov=True)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert float(keras.ops.convert_to_numpy(again.learning_rate)) == pytest.approx(0.1)
