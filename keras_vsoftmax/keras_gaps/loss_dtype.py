"""The dtype in which a loss computes, chosen when it is called."""

import keras


def compute_in_dtype_of(loss, y_pred):
    """Let `loss` compute in float64 for a float64 prediction, in float32 for any other.

    What Keras lacks (3.10 to 3.15): `keras.losses.Loss` takes its dtype when it is made, and casts
    prediction and labels to it: to floatx by default, which rounds a float64 prediction, and under
    a half-precision floatx the class ids. Relied upon: `Loss.dtype` is what `Loss._dtype` holds.
    """
    wide = keras.backend.standardize_dtype(y_pred.dtype) == "float64"
    loss._dtype = "float64" if wide else "float32"
