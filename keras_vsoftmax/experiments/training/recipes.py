"""What is trained and how, as data: one recipe for each column of the published comparison."""

import collections.abc
import dataclasses

from keras_vsoftmax import heads


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run but the head and the seed.

    Weight decay is `keras.regularizers.L2(l2)` on every kernel, the head's included: 2.5e-4 is
    what 5e-4 means where decay is added to the gradient before the momentum.
    """

    name: str
    title: str
    data: str
    backbone: str
    iterations: int = 18_000
    drops: tuple = (12_000, 15_000)  # where the rate is divided by ten
    batch_size: int = 256
    learning_rate: float = 0.1
    momentum: float = 0.9
    l2: float = 2.5e-4
    augment: bool = False  # 4-pixel padded random crops and mirroring
    top5: bool = False  # the top-5 error as well
    width: float = 1.0  # factor on the channels of the backbone
    disturb_label: float = 0.0  # probability that a label is redrawn at random
    ending: str | None = None  # of a plain network, where it is not its own
    embedding: int | None = None  # its length, likewise
    rate_warmup: int = 0  # steps over which the rate rises from 0
    nesterov: bool = False
    virtual_warmup: float = 0.0  # share of the steps over which the virtual class comes in
    virtual_strength: float = 1.0  # how much of it is there afterwards
    precision: str = "float32"

    def shortened(self, iterations):
        """The recipe over another number of iterations, the rate falling at the same shares."""
        drops = tuple(round(drop * iterations / self.iterations) for drop in self.drops)
        warmup = round(self.rate_warmup * iterations / self.iterations)
        return dataclasses.replace(self, iterations=iterations, drops=drops, rate_warmup=warmup)

    @property
    def backbone_knobs(self):
        """What the recipe says about the backbone's own arguments."""
        knobs = {"ending": self.ending, "embedding": self.embedding}
        knobs = {name: value for name, value in knobs.items() if value is not None}
        if self.backbone in _ACTIVE:
            knobs["warmup"] = round(self.iterations * _ACTIVE_WARMUP)
        return knobs


# The positions of active convolutions rest in the first steps, in their paper 10,000 of 64,000.
_ACTIVE = ("acu", "acu_plain")
_ACTIVE_WARMUP = 10_000 / 64_000

# Not in the paper: results/trainability.md says what they do for the heads with a virtual class.
_COMING_IN = {"virtual_warmup": 1 / 3, "virtual_strength": 0.5}

MNIST = Recipe("mnist", "MNIST", "mnist", "plain_mnist", **_COMING_IN)
MNIST_2D = Recipe("mnist_2d", "MNIST, 2-D features", "mnist", "plain_2d", **_COMING_IN)
SVHN = Recipe("svhn", "SVHN", "svhn", "plain_cifar10", **_COMING_IN)
CIFAR10 = Recipe("cifar10", "CIFAR10", "cifar10", "plain_cifar10", **_COMING_IN)
CIFAR100 = Recipe(
    name="cifar100",
    title="CIFAR100",
    data="cifar100",
    backbone="plain_cifar100",
    iterations=30_000,
    drops=(20_000, 27_000),
    **_COMING_IN,
)
CIFAR100_PLUS = dataclasses.replace(CIFAR100, name="cifar100+", title="CIFAR100+", augment=True)
# Not the poster's: what winycg/Self-KD-Lib reports both heads with (76.24 and 78.54% accuracy).
CIFAR100_RESNET18 = dataclasses.replace(
    CIFAR100,
    name="cifar100-resnet18",
    title="CIFAR100+, ResNet-18",
    backbone="resnet18",
    iterations=78_000,
    drops=(39_000, 58_500),
    batch_size=128,
    rate_warmup=1_950,
    nesterov=True,
    virtual_warmup=0.0,
    virtual_strength=1.0,
    augment=True,
)
# The poster does not give network and length of this one: they are ours.
IMAGENET32 = Recipe(
    name="imagenet32",
    title="ImageNet32",
    data="imagenet32",
    backbone="plain_cifar100",
    iterations=200_000,
    drops=(133_000, 167_000),
    **_COMING_IN,
    top5=True,
)
# SphereFace's own: network, batch, rates and length are those that its authors published.
FACES = Recipe(
    name="faces",
    title="Face verification",
    data="faces",
    backbone="sphereface20",
    iterations=28_000,
    drops=(16_000, 24_000),
)
# Ours: without batch norm a few thousand images do not bear the rate of half a million.
LFW_FOLDS = dataclasses.replace(
    FACES,
    name="lfw-folds",
    title="Face verification, trained on LFW's own people",
    iterations=1_500,
    drops=(850, 1_300),
    batch_size=64,
    learning_rate=0.02,
    width=0.25,
)
ORL = dataclasses.replace(
    FACES,
    name="orl",
    title="Face verification, ORL",
    iterations=300,
    drops=(170, 260),
    batch_size=30,
    learning_rate=0.02,
    width=0.25,
)

# The heads of the poster, in its order.
_POSTER = ("softmax", "noisy", "large_margin", "angular", "virtual")


class _Titles(collections.abc.Mapping):
    """The titles of all heads that are registered, in the order of the tables."""

    def __getitem__(self, head):
        if head not in heads.NAMES:
            raise KeyError(head)
        return heads.find(head).title

    def __iter__(self):
        return iter([*_POSTER, *(name for name in heads.NAMES if name not in _POSTER)])

    def __len__(self):
        return len(heads.NAMES)


TITLES = _Titles()


def completed(saved):
    """A saved recipe with the fields that have been added since, at their defaults.

    A default says what runs did before there was the field. "ending" is the exception: the plain
    networks had another one of their own then.
    """
    added = {
        field.name: field.default
        for field in dataclasses.fields(Recipe)
        if field.default is not dataclasses.MISSING and field.name != "ending"
    }
    return {**added, **saved}


def head_knobs(head, recipe):
    """Arguments of a head that depend on the run: see `Head.run_knobs`."""
    return heads.find(head).run_knobs(
        recipe.iterations, recipe.virtual_warmup, recipe.virtual_strength
    )
