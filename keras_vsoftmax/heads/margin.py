"""What the margin heads share: the label's logit is replaced in training."""

from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.distributed import steps
from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.terms import Terms


class MarginHead(Head):
    """Base of the heads that change the label's logit in training.

        z'_y = l_y f(cos theta_y),   cos theta_y = z_y / l_y
        L = log sum_j exp(z'_j) - z'_y,   z'_j = z_j for j != y

    A head gives the length l_y (`label_length`) and the function f (`modified_cosine`).
    """

    def label_length(self, batch):
        """l_y (...,), for which z_y = l_y cos theta_y: the norms that z_y holds."""
        return batch.label_length

    def modified_cosine(self, cosine, batch):
        """f(cos theta_y) (...,)."""
        raise NotImplementedError

    def training_terms(self, batch):
        length = self.label_length(batch)
        cosine = numerics.cosine(batch.label_logit, length)
        return Terms(target=length * self.modified_cosine(cosine, batch))


class StepCounter:
    """Mixin for heads whose training depends on the step, a training forward pass.

    The step is a weight, so that `.keras` files, weight files and BackupAndRestore carry it.
    """

    def add_state(self):
        super().add_state()
        self.step = steps.add_counter(self)

    @property
    def steps_taken(self):
        """How many training steps there were: 0 before the head is built."""
        return int(kops.convert_to_numpy(self.step)) if self.built else 0

    def next_step(self):
        """The number of this training forward pass, from 0."""
        return steps.count_one(self.step)


class AnnealedMarginHead(StepCounter, MarginHead):
    """Base of the heads with a multiple-angle margin, which is blended in over the steps.

    f(cos theta) = (lambda cos theta + psi(theta)) / (1 + lambda)
    psi(theta) = (-1)^k cos(m theta) - 2k,   theta in [k pi / m, (k + 1) pi / m]
    lambda = max(lambda_min, lambda_base (1 + lambda_gamma step)^-lambda_power)
    """

    scheduled = True

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

    @classmethod
    def run_knobs(cls, iterations, warmup=0.0, strength=1.0):
        # The default is made for 18,000 steps.
        return {"lambda_gamma": 0.12 * 18_000 / iterations}

    @property
    def current_lambda(self):
        """The lambda of the next training step, as a float."""
        step = kops.convert_to_tensor(self.steps_taken)
        return float(kops.convert_to_numpy(self._lambda(step, self.output_dtype)))

    def get_config(self):
        names = ("margin", "lambda_base", "lambda_gamma", "lambda_power", "lambda_min")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _lambda(self, step, dtype):
        decay = kops.power(1 + self.lambda_gamma * kops.cast(step, dtype), -self.lambda_power)
        value = self.lambda_base * decay
        return kops.where(value > self.lambda_min, value, self.lambda_min)

    def modified_cosine(self, cosine, batch):
        weight = self._lambda(self.next_step(), cosine.dtype)
        psi = numerics.multiple_angle_margin(cosine, self.margin)
        return (weight * cosine + psi) / (1 + weight)
