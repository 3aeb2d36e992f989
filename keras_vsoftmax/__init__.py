"""Virtual Softmax and its rivals as output layers for Keras 3."""

from keras_vsoftmax import heads, numerics
from keras_vsoftmax.heads.virtual import VirtualSoftmax
from keras_vsoftmax.losses import VirtualSoftmaxLoss
from keras_vsoftmax.models.classifier import Classifier

__all__ = ["Classifier", "VirtualSoftmax", "VirtualSoftmaxLoss", "heads", "numerics"]
