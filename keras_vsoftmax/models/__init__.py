"""`Classifier`: a backbone and a head, trained and used."""

from keras_vsoftmax.models.classifier import Classifier

__all__ = ["Classifier"]
