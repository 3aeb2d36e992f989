"""Every head of the published comparison, behind one contract.

One line a head registers it, under the name in its file. `NAMES` lists all that are registered.
"""
# ruff: noqa: F401 (the names are listed by what is registered)

from keras_vsoftmax.heads import registry
from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.registry import find, get, register
from keras_vsoftmax.heads.terms import Batch, Terms

# isort: off
from keras_vsoftmax.heads.softmax import Softmax
from keras_vsoftmax.heads.virtual import VirtualSoftmax
from keras_vsoftmax.heads.noisy import NoisySoftmax
from keras_vsoftmax.heads.large_margin import LargeMarginSoftmax
from keras_vsoftmax.heads.angular import AngularSoftmax
from keras_vsoftmax.heads.normface import NormFace
from keras_vsoftmax.heads.angular_normface import AngularNormFace
from keras_vsoftmax.heads.arcface import ArcFace
from keras_vsoftmax.heads.cosface import CosFace
from keras_vsoftmax.heads.synthetic_virtual import SyntheticVirtualSoftmax
from keras_vsoftmax.heads.hinge import SquaredHinge
from keras_vsoftmax.heads.subcenter_arcface import SubcenterArcFace
from keras_vsoftmax.heads.curricular import CurricularFace
from keras_vsoftmax.heads.adaface import AdaFace
from keras_vsoftmax.heads.magface import MagFace
from keras_vsoftmax.heads.adacos import AdaCos
from keras_vsoftmax.heads.sphereface2 import SphereFace2
# isort: on

__all__ = ["NAMES", "Batch", "Head", "Terms", "find", "get", "register"]
__all__ += sorted(find(name).__name__ for name in registry.names())


def __getattr__(name):
    if name == "NAMES":  # which grows with what a user registers
        return registry.names()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
