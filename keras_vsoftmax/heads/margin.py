"""What the margin heads share: the label's logit is replaced in training."""

from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.base import Head, check_range


class MarginHead(Head):
    """Base of the heads that change the label's logit in training.

        z'_y = l_y f(cos theta_y),   cos theta_y = z_y / l_y
        L = log sum_j exp(z'_j) - z'_y,   z'_j = z_j for j != y

    A head gives the length l_y (`_label_length`) and the function f (`_modified_cosine`).
    """

    def _label_length(self, features, kernel, ids):
        """l_y (...,), for which z_y = l_y cos theta_y: the norms that z_y holds."""
        return numerics.virtual_logit(features, kernel, ids)

    def _training_terms(self, logits, features, kernel, labels):
        label_logit = numerics.pick(logits, labels.ids)
        length = self._label_length(features, kernel, labels.ids)
        target = length * self._modified_cosine(numerics.cosine(label_logit, length))
        offset = label_logit - target
        if self.label_smoothing:
            # The smoothed row weighs all z'_c, of which the label's is the target.
            mean = (kops.sum(logits, axis=-1) - offset) / self.units
            offset = offset + self.label_smoothing * (target - mean)
        return {"target": target, "ids": labels.ids, "offset": offset}


class StepCounter:
    """Mixin for heads whose training depends on the step, a training forward pass.

    The step is a weight, so that `.keras` files, weight files and BackupAndRestore carry it.
    """

    def _add_state(self):
        super()._add_state()
        self.step = self.add_weight(
            name="step",
            shape=(),
            initializer="zeros",
            dtype="int",
            trainable=False,
            aggregation="only_first_replica",
        )

    def _next_step(self):
        """The number of this training forward pass, from 0."""
        step = kops.convert_to_tensor(self.step) * 1  # a copy, before it is assigned
        self.step.assign_add(1)
        return step


class AnnealedMarginHead(StepCounter, MarginHead):
    """Base of the heads with a multiple-angle margin, which is blended in over the steps.

    f(cos theta) = (lambda cos theta + psi(theta)) / (1 + lambda)
    psi(theta) = (-1)^k cos(m theta) - 2k,   theta in [k pi / m, (k + 1) pi / m]
    lambda = max(lambda_min, lambda_base (1 + lambda_gamma step)^-lambda_power)
    """

    def __init__(
        self,
        units,
        *,
        margin,
        lambda_base=1000.0,
        lambda_gamma=0.12,
        lambda_power=1.0,
        lambda_min=0.0,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        if isinstance(margin, bool) or margin not in (1, 2, 3, 4, 5):
            raise ValueError(f"`margin` must be an integer from 1 to 5. Received: margin={margin}")
        for name, value in (
            ("lambda_base", lambda_base),
            ("lambda_gamma", lambda_gamma),
            ("lambda_power", lambda_power),
            ("lambda_min", lambda_min),
        ):
            check_range(name, value, low=0)
        self.margin = int(margin)
        self.lambda_base = float(lambda_base)
        self.lambda_gamma = float(lambda_gamma)
        self.lambda_power = float(lambda_power)
        self.lambda_min = float(lambda_min)

    @property
    def current_lambda(self):
        """The lambda of the next training step, as a float."""
        step = int(kops.convert_to_numpy(self.step))
        return float(
            kops.convert_to_numpy(self._lambda(kops.convert_to_tensor(step), self.output_dtype))
        )

    def get_config(self):
        names = ("margin", "lambda_base", "lambda_gamma", "lambda_power", "lambda_min")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _lambda(self, step, dtype):
        decay = kops.power(1 + self.lambda_gamma * kops.cast(step, dtype), -self.lambda_power)
        value = self.lambda_base * decay
        return kops.where(value > self.lambda_min, value, self.lambda_min)

    def _modified_cosine(self, cosine):
        weight = self._lambda(self._next_step(), cosine.dtype)
        psi = numerics.multiple_angle_margin(cosine, self.margin)
        return (weight * cosine + psi) / (1 + weight)
