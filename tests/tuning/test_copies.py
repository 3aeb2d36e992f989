"""A trial's copy of the backbone has all that Keras saves; a model built late is found again."""

import keras
import numpy as np
import pytest

from keras_vsoftmax import tuning
from keras_vsoftmax.models.copying import whole_copy

keras_tuner = pytest.importorskip("keras_tuner")

pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings("ignore:After the first epoch the virtual logit:UserWarning"),
    # Of Keras 3.10, for a model of one input that is saved with a list of it.
    pytest.mark.filterwarnings("ignore:The structure of `inputs` doesn't match:UserWarning"),
]


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def normalizing(x):
    layer = keras.layers.Normalization()
    layer.adapt(30 + 5 * x)
    return layer


class Counting(keras.layers.Layer):
    """State that is no weight: saved by `save_own_variables`. Of a class that no one registered."""

    offset = 0.0

    def call(self, inputs):
        return inputs + self.offset

    def save_own_variables(self, store):
        store["offset"] = np.array(self.offset)

    def load_own_variables(self, store):
        self.offset = float(np.array(store["offset"]))


class NotSavable(keras.Model):
    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden

    def call(self, inputs):
        return self.hidden(inputs)


def with_offset():
    counting = Counting()
    counting.offset = 7.0
    return counting


def sequential(x):
    return keras.Sequential([keras.Input((6,)), normalizing(x), keras.layers.Dense(4)])


def functional(x):
    image = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), normalizing(x)])
    return keras.Model(image, keras.layers.Dense(4)(with_offset()(inner(image))))


BACKBONES = {
    "sequential": sequential,
    "functional, nested": functional,
    "layer": normalizing,
    "own layer": lambda x: with_offset(),
    "built late": lambda x: keras.Sequential([normalizing(x), with_offset()]),
}


@pytest.mark.parametrize("kind", BACKBONES)
def test_the_features_of_a_trial_are_those_of_the_backbone(kind, space, data):
    x, _ = data
    backbone = BACKBONES[kind](x)
    expected = numpy(backbone(x))
    for _ in range(2):
        hypermodel = space(backbone, heads="virtual", embedding=None)
        model = hypermodel.build(keras_tuner.HyperParameters())
        assert model.backbone is not backbone
        np.testing.assert_array_equal(numpy(model.backbone(x)), expected)
    np.testing.assert_array_equal(numpy(backbone(x)), expected)


def test_a_copy_has_the_weights_and_what_is_trainable():
    backbone = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(3)])
    backbone.layers[0].trainable = False
    copy = whole_copy(backbone)
    for one, other in zip(backbone.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [layer.trainable for layer in copy.layers] == [False, True]
    assert copy.name == backbone.name
    assert not {id(weight) for weight in copy.weights} & {id(weight) for weight in backbone.weights}


def test_a_backbone_that_keras_cannot_save_is_refused_once(space):
    backbone = NotSavable(keras.layers.Dense(3))
    hypermodel = space(backbone, heads="virtual")
    with pytest.raises(keras_tuner.errors.FatalValueError, match=r"a copy.*get_config.*Received:"):
        hypermodel.build(keras_tuner.HyperParameters())


@pytest.mark.parametrize("embedding", [None, 4])
@pytest.mark.parametrize("tuner_class", ["RandomSearch", "Hyperband"])
def test_the_best_model_of_a_backbone_without_an_input(
    tuner_class, embedding, space, data, tmp_path
):
    x, y = data
    backbone = keras.Sequential([keras.layers.Dense(4)])
    settings = {"directory": tmp_path, "project_name": "late"}
    settings |= {"max_epochs": 3} if tuner_class == "Hyperband" else {"max_trials": 2}

    def make():
        search_space = space(backbone, heads="virtual", embedding=embedding, seed=1)
        return getattr(tuning, tuner_class)(search_space, **settings)

    tuner = make()
    tuner.search(x, y, epochs=1, validation_split=0.25, verbose=0)
    best = tuner.oracle.get_best_trials()[0]
    for again in (tuner, make()):  # in the process that searched, and in a later one
        model = again.get_best_models()[0]
        accuracy = model.evaluate(x[36:], y[36:], verbose=0, return_dict=True)["accuracy"]
        assert accuracy == pytest.approx(best.score, abs=1e-6)


def test_a_divergence_that_a_callback_handled_is_a_failed_trial(space, data):
    x, y = data
    hypermodel = space(heads="virtual", learning_rate=1e30, optimizer=sgd, weight_decay=None)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    with pytest.raises(tuning.hypermodel.FailedTrialError, match="training loss is not finite"):
        hypermodel.fit(
            hp, model, x, y, epochs=2, callbacks=[keras.callbacks.TerminateOnNaN()], verbose=0
        )


def sgd(learning_rate):
    return keras.optimizers.SGD(learning_rate)
