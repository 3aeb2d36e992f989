"""Whole copies of models and layers, with all the state that Keras saves."""

import pathlib
import tempfile
import warnings

import keras

from keras_vsoftmax.keras_gaps.sublayers import sublayers


def whole_copy(layer):
    """Copy a model or layer with all that a `.keras` file carries.

    That is more than the weights of `get_weights`: the statistics that a `Normalization` adapted
    to, vocabularies, and whatever else a layer saves by `save_own_variables` and `save_assets`.
    Layers of classes that are not registered are copied as well. The copy is not compiled.

    Args:
        layer: Model or layer, built or not.

    Returns:
        A new one of the same class.

    Raises:
        Whatever Keras raises for what it cannot save and load.
    """
    # Keras saves models: a bare layer goes in one.
    model = layer if isinstance(layer, keras.Model) else keras.Sequential([layer])
    classes = {type(part).__name__: type(part) for part in sublayers(model)}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "copy.keras"
        with warnings.catch_warnings():
            # It may be built later, and has no weights to lose then.
            warnings.filterwarnings("ignore", ".*saving a model that has not yet been built")
            keras.saving.save_model(model, path)
        copy = keras.saving.load_model(path, custom_objects=classes, compile=False, safe_mode=False)
    return copy if model is layer else copy.layers[0]
