"""`Classifier`: a backbone and a head, trained and used. `Student`: one that is distilled into."""

from keras_vsoftmax.models.classifier import Classifier
from keras_vsoftmax.models.distillation import Student

__all__ = ["Classifier", "Student"]
