"""What the heads over scaled cosines share."""

from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.checks import check_range


class ScaledCosineHead(Head):
    """Base of the heads that normalise features and class vectors, and scale the cosine.

    z_j = s cos theta_j

    A zero vector has the cosine 0 to every other.
    """

    def __init__(self, units, *, scale=30.0, **kwargs):
        super().__init__(units, **kwargs)
        self.scale = self.read_scale(scale)

    def read_scale(self, scale):
        """The argument as it is kept, checked."""
        check_range("scale", scale, above=0)
        return float(scale)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}

    def current_scale(self):
        """s: a number, or a scalar tensor where it changes."""
        return self.scale

    def plain_logits(self, features, kernel):
        return numerics.unit_class_logits(self.current_scale() * numerics.unit(features), kernel)

    def label_length(self, batch):
        """s, since z_y = s cos theta_y: for the margin heads over these logits."""
        return self.current_scale() * kops.ones_like(batch.features[..., 0])
