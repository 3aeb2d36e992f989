"""A backbone and a head for use and export: from the backbone's input alone."""

import keras
from keras import ops

from keras_vsoftmax.utils.extras import require

_OUTPUTS = ("log_probs", "probs", "logits")


class Serving(keras.Model):
    """From the backbone's input to log-probabilities, probabilities, logits or class ids."""

    def __init__(self, backbone, head, output):
        super().__init__(name="serving", autocast=False)
        self.backbone = backbone
        self.head = head
        self.output_kind = output

    def call(self, inputs):
        # Keras hands over a tracked copy of the signature, whose type a backbone would warn about.
        for plain in (dict, list):
            inputs = plain(inputs) if isinstance(inputs, plain) else inputs
        features = self.backbone(inputs, training=False)
        if self.output_kind == "classes":
            return self.head.predict_classes(features)
        if self.output_kind == "logits":
            return self.head.logits(features)
        log_probs = self.head(features, training=False)
        return ops.exp(log_probs) if self.output_kind == "probs" else log_probs


def export(backbone, head, output, filepath, *, format, input_signature=None, **kwargs):
    """Writes what `Classifier.export` promises."""
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
                '[keras.InputSpec(shape=(None, 28, 28), dtype="float32")]. '
                "Received: input_signature=None"
            )
        inputs = keras.tree.map_structure(
            lambda spec: keras.KerasTensor(spec.shape, spec.dtype), input_signature[0]
        )
    serving(inputs)
    if input_signature is None:
        input_signature = [
            keras.tree.map_structure(
                lambda tensor: keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype), inputs
            )
        ]
    serving.export(filepath, format=format, input_signature=input_signature, **kwargs)


def symbolic_inputs(backbone):
    """The symbolic input of a functional or built sequential backbone, or None."""
    if isinstance(backbone, keras.Sequential):
        # It has one input, in a list; the attribute is missing until it is built.
        return next(iter(getattr(backbone, "inputs", [])), None)
    return getattr(backbone, "input", None) if isinstance(backbone, keras.Model) else None
