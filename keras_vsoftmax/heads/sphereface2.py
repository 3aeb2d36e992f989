"""SphereFace2: a binary classification for each class, in place of the softmax."""

import math

import keras
from keras import ops as kops

from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead
from keras_vsoftmax.heads.terms import Terms


@register("sphereface2")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class SphereFace2(ScaledCosineHead):
    """SphereFace2, the variant C: each class says by itself whether a sample is its own.

        z_j = r g(cos theta_j),   g(c) = 2 ((c + 1) / 2)^t - 1
        L = w / r (lambda softplus(-(z_y - r m + b))
                   + (1 - lambda) sum_{j != y} softplus(z_j + r m + b))

    b is a trained weight, which begins where the loss is least at right angles. L is no
    cross-entropy of a softmax: `-output[label]` is L and the argmax of the output is that of z
    as everywhere, but exp(output) is no probability in training, and may sum to more than 1.
    Outside training, and so in the validation loss, it is the plain log-softmax of z.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Float m >= 0.
        balance: Float lambda in (0, 1), the weight of the label's class against the others.
        power: Float t >= 1; 1 is the cosine itself.
        loss_weight: Float w > 0.
        scale: Float r > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`, and the
            arguments of `keras.layers.Layer`. `label_smoothing` is refused.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.SphereFace2(10, margin=0.3).margin
    0.3

    Source: Wen, Liu, Weller, Raj, Singh, "SphereFace2: Binary Classification is All You Need for
    Deep Face Recognition", ICLR 2022, equations 5 to 7, with the values of its authors' code.
    """

    title = "SphereFace2"
    formula = "L = w/r (λ softplus(-(z_y - r m + b)) + (1-λ) Σ_{j≠y} softplus(z_j + r m + b))"
    source = "Wen, Liu, Weller, Raj, Singh, ICLR 2022"
    ranges = {"margin": (0.1, 0.6), "scale": (8.0, 64.0), "balance": (0.5, 0.9)}
    is_softmax = False

    def __init__(
        self,
        units,
        *,
        margin=0.4,
        balance=0.7,
        power=3.0,
        loss_weight=50.0,
        scale=40.0,
        kernel_initializer="glorot_normal",
        **kwargs,
    ):
        super().__init__(units, scale=scale, kernel_initializer=kernel_initializer, **kwargs)
        if self.label_smoothing:
            raise ValueError(
                "`label_smoothing` must be 0 for SphereFace2, whose loss is no cross-entropy over "
                f"a row. Received: label_smoothing={self.label_smoothing}"
            )
        check_range("margin", margin, low=0)
        check_range("balance", balance, above=0, below=1)
        check_range("power", power, low=1)
        check_range("loss_weight", loss_weight, above=0)
        self.margin = float(margin)
        self.balance = float(balance)
        self.power = float(power)
        self.loss_weight = float(loss_weight)

    def get_config(self):
        names = ("margin", "balance", "power", "loss_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @property
    def first_bias(self):
        """b at the start: where dL/db = 0 while all angles are right ones.

        With u = exp(b) the condition, times the denominators, is a quadratic in u, whose positive
        root is taken in the form that cancels nothing: which one depends on the ratio.
        """
        ratio = self.balance / ((1 - self.balance) * (self.units - 1))
        right = self.scale * (2 * 0.5**self.power - 1)
        own, other = right - self.scale * self.margin, right + self.scale * self.margin
        root = math.sqrt((1 - ratio) ** 2 + 4 * ratio * math.exp(own - other))
        if ratio < 1:
            return math.log(2 * ratio) - other - math.log(1 - ratio + root)
        return math.log((ratio - 1 + root) / 2) - own

    def add_state(self):
        super().add_state()
        self.bias = self.add_number("bias", self.first_bias, trainable=True)

    def plain_logits(self, features, kernel):
        cosine = super().plain_logits(features, kernel) / self.scale
        half = (cosine + 1) / 2
        positive = half > 0  # by rounding alone it is not
        powered = kops.power(kops.where(positive, half, 1.0), self.power)
        return self.scale * (2 * kops.where(positive, powered, 0.0) - 1)

    def training_terms(self, batch):
        bias = kops.convert_to_tensor(self.bias)
        margin = self.scale * self.margin
        # log_sigmoid is exact where softplus is not: torch's stops at 20.
        own = -kops.log_sigmoid(batch.label_logit - (margin - bias))
        every = -kops.log_sigmoid(-(batch.logits + (margin + bias)))
        others = kops.sum(every, axis=-1) - batch.at_label(every)
        loss = self.balance * own + (1 - self.balance) * others
        return Terms(loss=self.loss_weight / self.scale * loss)
