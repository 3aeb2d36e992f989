import importlib
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.errors import FailedTrialError, FatalValueError

from keras_vsoftmax import heads, tuning
from keras_vsoftmax.callbacks import RetrievalMetrics

pytestmark = [
    pytest.mark.core,
    # What `fit` says of models this small and untrained is true, and not the subject here.
    pytest.mark.filterwarnings("ignore:After the first epoch the virtual logit:UserWarning"),
]


def defaults(hypermodel, **values):
    """Hyperparameters with the values that come first, or those given."""
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    hp.values.update(values)
    hp.ensure_active_values()
    return hp


def test_each_head_is_built_with_its_own_knobs_and_no_others(space):
    hypermodel = space()
    for name in heads.NAMES:
        hp = defaults(hypermodel, head=name)
        model = hypermodel.build(hp)
        assert isinstance(model.head, type(heads.get(name, 3)))
        for knob in tuning.ranges.KNOBS[name]:
            assert getattr(model.head, knob) == hp[f"{name}_{knob}"]
        knobs = {key for key in hp.values if key.startswith(tuple(f"{h}_" for h in heads.NAMES))}
        assert knobs == {f"{name}_{knob}" for knob in tuning.ranges.KNOBS[name]}


def test_the_model_has_the_embedding_and_the_optimizer_of_the_trial(space):
    hypermodel = space(heads="virtual", embedding=5, learning_rate=0.02, weight_decay=0.03)
    model = hypermodel.build(keras_tuner.HyperParameters())
    assert model.backbone.output_shape == (None, 5)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert model.optimizer.weight_decay == pytest.approx(0.03)
    decayed = [v.path for v in model.trainable_variables if model.optimizer._use_weight_decay(v)]
    assert len(decayed) == 3
    assert all(path.endswith("kernel") for path in decayed)


def test_arguments_for_whichever_head(space):
    def arguments(hp):
        return {"kernel_regularizer": keras.regularizers.L2(hp["weight_decay"])}

    hypermodel = space(weight_decay=0.5, head_arguments=arguments)
    for name in ("softmax", "arcface"):
        model = hypermodel.build(defaults(hypermodel, head=name))
        assert float(model.head.kernel_regularizer.l2) == pytest.approx(0.5)


def test_what_is_left_out_is_not_a_hyperparameter(space):
    nothing = dict.fromkeys(["embedding", "learning_rate", "weight_decay", "batch_size"])
    hp = keras_tuner.HyperParameters()
    model = space(heads="virtual", optimizer=keras.optimizers.SGD, **nothing).build(hp)
    assert hp.values == {"head": "virtual"}
    assert model.backbone.output_shape == (None, 8)
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def test_trials_of_a_model_start_from_its_weights_and_leave_it_alone(space, backbone, data):
    before = backbone.get_weights()
    hypermodel = space(heads="virtual", embedding=None, learning_rate=0.1)
    hp = defaults(hypermodel)
    for _ in range(2):
        model = hypermodel.build(hp)
        np.testing.assert_array_equal(model.backbone.get_weights()[0], before[0])
        hypermodel.fit(hp, model, *data, epochs=1, verbose=0)
        assert not np.array_equal(model.backbone.get_weights()[0], before[0])
    np.testing.assert_array_equal(backbone.get_weights()[0], before[0])


def test_trials_of_a_layer_start_from_its_weights(space):
    layer = keras.layers.Dense(8)
    layer.build((None, 6))
    hypermodel = space(layer, heads="virtual", embedding=None)
    model = hypermodel.build(defaults(hypermodel))
    assert model.backbone is not layer
    np.testing.assert_array_equal(model.backbone.get_weights()[0], layer.get_weights()[0])


def test_a_function_of_the_hyperparameters_sees_the_others_and_adds_its_own(space):
    def make(hp):
        width = hp.Choice("width", [7, 9])
        assert hp["head"] == "virtual"
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(width)])

    hypermodel = space(make, heads="virtual", embedding=None)
    assert hypermodel.build(defaults(hypermodel, width=9)).backbone.output_shape == (None, 9)


@pytest.mark.parametrize("kind", ["dict", "layer", "unbuilt"])
def test_other_backbones(space, kind, data):
    x, y = data
    if kind == "dict":
        inputs = {name: keras.Input((6,), name=name) for name in ("a", "b")}
        backbone = keras.Model(inputs, keras.layers.Add()(list(inputs.values())))
        x = {"a": x, "b": x}
    elif kind == "layer":
        backbone = keras.layers.Dense(8)
    else:
        backbone = keras.Sequential([keras.layers.Dense(8)])
    hypermodel = space(backbone, heads="virtual")
    hp = defaults(hypermodel)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, epochs=1, verbose=0)
    assert model.predict(x, verbose=0).shape == (48, 3)


def test_a_data_set_with_its_own_batches(space, data):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return tuple(part[12 * index : 12 * (index + 1)] for part in data)

    hypermodel = space(heads="virtual", batch_size=None)
    hp = defaults(hypermodel)
    history = hypermodel.fit(hp, hypermodel.build(hp), Batches(), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    for arguments in ({"x": Batches()}, {"x": data[0], "y": data[1], "batch_size": 6}):
        with pytest.raises(FatalValueError, match="batch_size=None"):
            space(heads="virtual").fit(hp, hypermodel.build(hp), **arguments)


def test_a_loss_that_is_not_finite_fails_the_trial(space, data):
    x, y = data
    hypermodel = space(heads="virtual", learning_rate=1.0)
    hp = defaults(hypermodel)
    with pytest.raises(FailedTrialError, match="diverged"):
        hypermodel.fit(hp, hypermodel.build(hp), np.full_like(x, np.inf), y, epochs=1, verbose=0)
    # The training loss is finite, and validation finds what the last step left behind.
    with pytest.raises(FailedTrialError, match="validation loss is not finite"):
        hypermodel.fit(
            hp,
            hypermodel.build(hp),
            x,
            y,
            validation_data=(np.full_like(x, np.inf), y),
            epochs=1,
            verbose=0,
        )


def test_a_combination_that_the_backbone_refuses_fails_the_trial(space):
    def make(hp):
        if hp["embedding"] == 8 and hp["head"] == "virtual":
            raise ValueError("too wide")
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])

    hypermodel = space(make, heads=["softmax", "virtual"])
    hypermodel.build(defaults(hypermodel, embedding=8))
    with pytest.raises(FailedTrialError, match=r"'embedding': 8.*too wide"):
        hypermodel.build(defaults(hypermodel, embedding=8, head="virtual"))


@pytest.mark.parametrize(
    "objective",
    ["loss", "val_loss", keras_tuner.Objective("val_loss", "min"), ["val_accuracy", "val_loss"]],
)
def test_a_loss_across_heads_is_refused(space, data, objective):
    with pytest.raises(FatalValueError, match=r"cannot compare heads.*Received: objective='"):
        space().check_objective(objective)
    space(heads=["arcface"]).check_objective(objective)


def test_the_plain_tuners_of_keras_tuner_work_and_refuse_it_too(space, data, tmp_path):
    def search(objective, **arguments):
        tuner = keras_tuner.RandomSearch(
            space(heads=["softmax", "virtual"]),
            objective=objective,
            max_trials=1,
            directory=tmp_path,
            overwrite=True,
        )
        tuner.search(*data, epochs=1, verbose=0, **arguments)
        return tuner

    tuner = search("val_accuracy", validation_split=0.25)
    assert tuner.get_best_models()[0].predict(data[0], verbose=0).shape == (48, 3)
    with pytest.raises(FatalValueError, match="cannot compare heads"):
        search("val_loss", validation_split=0.25)
    with pytest.raises(FatalValueError, match="needs validation"):
        search("val_accuracy")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": ["arcfase"]}, "Known are: softmax, virtual.*'arcfase'"),
        ({"heads": []}, r"at least one head.*heads=\(\)"),
        ({"heads": ["virtual", "virtual"]}, "each once"),
        ({"heads": "virtual", "virtual_margin": 1.0}, "refuses margin"),
        ({"batch_size": (64, 32)}, "empty"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_settings_are_refused_at_once(space, settings, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        space(**settings)


def test_bad_backbone_and_classes_are_refused_at_once(backbone):
    with pytest.raises(TypeError, match="Received: backbone=3"):
        tuning.HeadHyperModel(3, 10)
    for optimizer in ("adam", keras.optimizers.Adam()):
        with pytest.raises(TypeError, match="`optimizer` must be an optimizer class, or a funct"):
            tuning.HeadHyperModel(backbone, 10, optimizer=optimizer)
    with pytest.raises(ValueError, match="units=1"):
        tuning.HeadHyperModel(backbone, 1)


def test_the_seed_decides_a_trial_whatever_was_drawn_before(space, data):
    hypermodel = space(heads="virtual", seed=7)
    hp = defaults(hypermodel)
    first, again = hypermodel.build(hp), hypermodel.build(hp)
    np.testing.assert_array_equal(first.get_weights()[2], again.get_weights()[2])
    # Another execution of the same trial, other hyperparameters and another seed are other draws.
    hypermodel.fit(hp, again, *data, epochs=1, verbose=0)
    others = [
        hypermodel.build(hp),
        hypermodel.build(defaults(hypermodel, batch_size=24)),
        space(heads="virtual", seed=8).build(hp),
    ]
    for other in others:
        assert not np.array_equal(first.get_weights()[2], other.get_weights()[2])


def test_mixed_precision(space, data):
    keras.config.set_dtype_policy("mixed_float16")
    hypermodel = space(keras.layers.Dense(8), heads="arcface")
    hp = defaults(hypermodel)
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, *data, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_without_keras_tuner_the_error_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("keras_vsoftmax.tuning")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r"keras_vsoftmax\[tuner\]"):
        importlib.import_module("keras_vsoftmax.tuning")


@pytest.mark.parametrize("where", ["x", "validation"])
def test_bad_labels_end_the_search_before_its_first_trial(space, data, tmp_path, where):
    x, y = data
    bad = np.where(np.arange(len(y)) == 2, 7, y)
    tuner = tuning.RandomSearch(space(heads="virtual"), max_trials=2, directory=tmp_path)
    given = (x, bad) if where == "x" else (x, y)
    validation = (x, y) if where == "x" else (x, bad)
    with pytest.raises(FatalValueError, match=r"Received: 7 at index \(2,\)"):
        tuner.search(*given, validation_data=validation, epochs=1, verbose=0)


def test_a_trial_of_other_heads_is_refused(space):
    hp = defaults(space(heads=["arcface", "softmax"]), head="arcface")
    with pytest.raises(FatalValueError, match=r"Received: head='arcface' with heads=\('virtual',"):
        space(heads=["virtual", "softmax"]).build(hp)


def test_an_objective_that_is_not_measured_every_epoch_is_refused(space, data, tmp_path):
    objective = keras_tuner.Objective("val_recall_at_1", "max")
    tuner = tuning.RandomSearch(
        space(), objective=objective, max_trials=1, directory=tmp_path, project_name="rare"
    )
    rare = RetrievalMetrics(*data, every=2)
    with pytest.raises(FatalValueError, match="with every=2 of RetrievalMetrics"):
        tuner.search(*data, epochs=3, verbose=0, callbacks=[rare])
    tuner.search(*data, epochs=2, verbose=0, callbacks=[RetrievalMetrics(*data)])
