"""The figures of the poster (NeurIPS 2018): errors in %, lower is better.

They stand beside what was measured and never in its place.
"""


def _errors(**accuracies):
    """ImageNet32 is given as accuracy."""
    return {head: round(100 - accuracy, 2) for head, accuracy in accuracies.items()}


# The authors' own runs, by recipe and head.
OWN_RUNS = {
    "mnist": {
        "softmax": 0.35,
        "noisy": 0.32,
        "large_margin": 0.30,
        "angular": 0.30,
        "virtual": 0.28,
    },
    "svhn": {
        "softmax": 2.11,
        "noisy": 2.04,
        "large_margin": 2.01,
        "angular": 2.01,
        "virtual": 1.93,
    },
    "cifar10": {
        "softmax": 7.15,
        "noisy": 6.91,
        "large_margin": 6.77,
        "angular": 6.83,
        "virtual": 6.68,
    },
    "cifar100": {
        "softmax": 27.7,
        "noisy": 26.33,
        "large_margin": 26.18,
        "angular": 26.09,
        "virtual": 26.02,
    },
    "cifar100+": {
        "softmax": 25.52,
        "noisy": 25.20,
        "large_margin": 24.32,
        "angular": 24.11,
        "virtual": 24.01,
    },
    "imagenet32": _errors(
        softmax=47.63, noisy=47.96, large_margin=48.59, angular=48.66, virtual=48.84
    ),
}

TOP5 = {
    "imagenet32": _errors(
        softmax=73.14, noisy=73.25, large_margin=73.82, angular=73.57, virtual=74.06
    ),
}

# Accuracy in %, higher is better; what these models were trained on is not said. The poster's
# A-Softmax for faces is the one with NormFace.
VERIFICATION = {
    "lfw": {
        "softmax": 99.10,
        "noisy": 99.16,
        "large_margin": 99.37,
        "angular_normface": 99.57,
        "virtual": 99.46,
    },
    "sllfw": {
        "softmax": 94.59,
        "noisy": 94.75,
        "large_margin": 95.58,
        "angular_normface": 96.45,
        "virtual": 95.85,
    },
}

# What the poster cites from other papers.
CITED = {
    "mnist": {
        "Maxout": 0.45,
        "DSN": 0.39,
        "R-CNN": 0.31,
        "DisturbLabel": 0.33,
        "Noisy Softmax, as cited": 0.33,
        "L-Softmax, as cited": 0.31,
    },
    "svhn": {"Maxout": 2.47, "DSN": 1.92, "R-CNN": 1.77, "WRN": 1.85, "DisturbLabel": 2.19},
    "cifar10": {
        "DisturbLabel": 9.45,
        "GenPool": 7.62,
        "ACU": 7.12,
        "Noisy Softmax, as cited": 7.39,
        "L-Softmax, as cited": 7.58,
        "DenseNet-40": 7.00,
    },
    "cifar100": {
        "DisturbLabel": 32.99,
        "GenPool": 32.37,
        "ACU": 27.47,
        "Noisy Softmax, as cited": 28.48,
        "L-Softmax, as cited": 29.53,
        "DenseNet-40": 27.55,
    },
    "cifar100+": {"DisturbLabel": 26.63, "ResNet-110": 25.16, "DenseNet-40": 24.42},
    "imagenet32": {},
}

# The systems among the rows of `CITED`: the backbones that are trained for them here.
# DisturbLabel is any backbone with redrawn labels. The other rows are heads.
CITED_BACKBONES = {
    "Maxout": ("maxout_mnist", "maxout_svhn"),
    "DSN": ("dsn_mnist", "dsn"),
    "R-CNN": ("recurrent_conv",),
    "WRN": ("wrn28_10",),
    "DisturbLabel": None,
    "GenPool": ("genpool",),
    "ACU": ("acu",),
    "ResNet-110": ("resnet110",),
    "DenseNet-40": ("densenet40",),
}


def cited_head(title, name):
    """The head with which a system has its figure on a data set."""
    return "hinge" if (title, name) == ("DSN", "mnist") else "softmax"
