"""Virtual Softmax and its rivals as output layers for Keras 3."""

from keras_vsoftmax import heads, ops
from keras_vsoftmax.heads.virtual import VirtualSoftmax
from keras_vsoftmax.losses import VirtualSoftmaxLoss

__all__ = ["VirtualSoftmax", "VirtualSoftmaxLoss", "heads", "ops"]
