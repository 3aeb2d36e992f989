"""A backbone and a head for use and export: from the backbone's input alone."""

import keras
from keras import ops

from keras_vsoftmax.keras_gaps.failed_steps import UsableAfterErrors
from keras_vsoftmax.models.label_routing import describe_structure
from keras_vsoftmax.utils.extras import require

_OUTPUTS = ("log_probs", "probs", "logits")


class Serving(UsableAfterErrors, keras.Model):
    """From the backbone's input to log-probabilities, probabilities, logits, ids or features."""

    def __init__(self, backbone, head, output):
        super().__init__(name="serving", autocast=False)
        self.backbone = backbone
        self.head = head
        self.output_kind = output

    def call(self, inputs):
        # Keras hands over a tracked copy of the signature, whose type a backbone would warn about.
        for plain in (dict, list):
            inputs = plain(inputs) if isinstance(inputs, plain) else inputs
        features = features_of(self.backbone, inputs, training=False)
        if self.output_kind == "features":
            return features
        if self.output_kind == "classes":
            return self.head.predict_classes(features)
        if self.output_kind == "logits":
            return self.head.logits(features)
        log_probs = self.head(features, training=False)
        return ops.exp(log_probs) if self.output_kind == "probs" else log_probs


class ServingModels:
    """The models by which a `Classifier` predicts, each made once, since Keras traces each anew.

    No layer itself, so that a `Classifier` has no second way to its own weights.
    """

    def __init__(self):
        self._models = {}

    def get(self, model, output):
        """Return the model for this output. `model` is the `Classifier`."""
        head = None if output == "features" else model.head
        known = self._models.get(output)
        if known is None or known.backbone is not model.backbone or known.head is not head:
            known = Serving(model.backbone, head, output)
            if model.compiled:
                known.run_eagerly = model.run_eagerly
                known.jit_compile = model.jit_compile
            self._models[output] = known
        return known

    def forget(self):
        """Make them anew, for a model that was compiled or quantized."""
        self._models.clear()


def features_of(backbone, inputs, training):
    """Call the backbone, whose features must be one tensor.

    Raises:
        ValueError: For a dict, a list or a tuple of features.
    """
    features = backbone(inputs, training=training)
    if isinstance(features, (dict, list, tuple)):
        raise ValueError(
            "A head needs the features as one tensor (..., d): make a backbone that gives the one "
            "that is meant, such as keras.Model(backbone.input, backbone.output[...]). "
            f"Received: features in {describe_structure(features)}"
        )
    return features


def export(backbone, head, output, filepath, *, format, input_signature=None, **kwargs):
    """Write what `Classifier.export` promises."""
    if output not in _OUTPUTS:
        raise ValueError(
            f"`output` must be one of {', '.join(_OUTPUTS)}. Received: output={output!r}"
        )
    if format == "onnx":
        for module in ("onnx", "onnxscript", "tf2onnx"):
            require(module, extra="export", feature='export(format="onnx")')
    serving = Serving(backbone, head, output)
    inputs = symbolic_inputs(backbone)
    if inputs is None:
        if input_signature is None:
            raise ValueError(
                "The backbone is neither a functional nor a built sequential model, so that its "
                "input is not known: pass `input_signature`, such as "
                '[keras.InputSpec(shape=(None, 28, 28), dtype="float32", name="image")]. '
                "Received: input_signature=None"
            )
        inputs = keras.tree.map_structure(
            lambda spec: keras.KerasTensor(spec.shape, spec.dtype), input_signature[0]
        )
    serving(inputs)
    if input_signature is None:
        input_signature = [
            keras.tree.map_structure(
                lambda tensor: keras.InputSpec(
                    shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
                ),
                inputs,
            )
        ]
    serving.export(filepath, format=format, input_signature=input_signature, **kwargs)


def symbolic_inputs(backbone):
    """The symbolic input of a functional or built sequential backbone, or None."""
    if not isinstance(backbone, keras.Model) or not getattr(backbone, "inputs", None):
        return None  # the attribute is missing from a subclass, and until a Sequential is built
    if isinstance(backbone, keras.Sequential):
        return backbone.inputs[0]  # it has one, in a list
    return backbone.input


def dtypes_of(inputs):
    """The dtypes of a structure of tensors, flat, or None where they are not all known."""
    dtypes = [getattr(tensor, "dtype", None) for tensor in keras.tree.flatten(inputs)]
    if any(dtype is None for dtype in dtypes):
        return None
    return tuple(keras.backend.standardize_dtype(dtype) for dtype in dtypes)
