"""What has moved in the cited systems: learned weights against their start, companions by epoch.

For each run it loads the model after the last epoch and builds the network once more under the
run's seed, which gives the weights of the start. Positions of active convolutions are compared in
pixels; gates, pooling filters and recurrent kernels by their norm and by the angle between start
and end, since weight decay by itself changes a norm and leaves the angle at zero. Of deep
supervision it shows the loss of each companion by epoch, without the weight that fades.

    python examples/cifar100.py --backbone acu --width 0.25 --epochs 4 --heads softmax
    python benchmarks/cited_moved.py runs
"""

import argparse

import keras
import numpy as np

from keras_vsoftmax import backbones
from keras_vsoftmax.backbones.active_convolution import ActiveConv2D
from keras_vsoftmax.backbones.learned_pooling import GatedPooling2D, MixedPooling2D, TreePooling2D
from keras_vsoftmax.backbones.recurrent_conv import RecurrentConv2D
from keras_vsoftmax.experiments.report import tables
from keras_vsoftmax.experiments.scripts import options
from keras_vsoftmax.experiments.training import records
from keras_vsoftmax.experiments.training.recipes import Recipe

# What each kind of layer learns in addition to an ordinary kernel.
_LEARNED = {
    ActiveConv2D: lambda layer: {"positions": layer.positions},
    GatedPooling2D: lambda layer: {"gate": layer.gate_kernel},
    MixedPooling2D: lambda layer: {"mix": layer.mix},
    TreePooling2D: lambda layer: {"leaves": layer.leaf_kernel, "gates": layer.gate_kernel},
    RecurrentConv2D: lambda layer: {"recurrent kernel": layer.recurrent.kernel},
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=options.folder, help="of runs")
    args = parser.parse_args(argv)
    paths = [path for folder in args.folders for path in sorted(folder.rglob(records.NAME))]
    if not paths:
        parser.error(f"there is no {records.NAME} in {', '.join(map(str, args.folders))}")
    for path in paths:
        show(records.read(path), path.with_name("last.keras"))


def show(record, model_path):
    """Print what has moved in one run."""
    recipe = record["recipe"]
    network = f"{recipe['backbone']} x{recipe['width']:g}"
    print(f"\n{recipe['title']}, {network}, {record['head']}, seed {record['seed']}: ", end="")
    print(f"test error {records.last(record):.2f}%")
    trained = keras.saving.load_model(model_path, compile=False).backbone
    weights = [
        [layer.name, name, _difference(name, np.asarray(before), np.asarray(after))]
        for layer, name, before, after in pairs(start(record, trained.input_shape[1:]), trained)
    ]
    companions = [key for key in record["epochs"][0] if key.startswith("companion_")]
    losses = [
        [str(row["epoch"]), *(f"{row[key]:.3f}" for key in companions)] for row in record["epochs"]
    ]
    if weights:
        print("\n".join(["", *tables.rows([["layer", "weight", "start to end"], *weights])]))
    if companions:
        print("\n".join(["", *tables.rows([["epoch", *companions], *losses])]))


def start(record, input_shape):
    """The backbone of a run as it was before the first step."""
    recipe = Recipe(**record["recipe"])
    keras.utils.set_random_seed(record["seed"])
    network = backbones.get(
        recipe.backbone, input_shape, recipe.width, recipe.l2, **recipe.backbone_knobs
    )
    return keras.Model(network.input, keras.tree.flatten(network.output)[-1])


def pairs(before, after):
    """`(layer, name, weight before, weight after)` of all that a network of such layers learns."""
    for one, other in zip(_layers(before), _layers(after), strict=True):
        start, end = _LEARNED[type(one)](one), _LEARNED[type(other)](other)
        for name, weight in start.items():
            if weight is not None:
                yield other, name, weight, end[name]


def _layers(network):
    return [layer for layer in network.layers if type(layer) in _LEARNED]


def _difference(name, before, after):
    """What became of a weight, in words."""
    if name == "positions":
        # The centre stays; each coordinate of the others is free.
        apart = np.linalg.norm(after - before, axis=-1)
        return f"{apart.sum() / (len(apart) - 1):.2f} pixels in the mean, at most {apart.max():.2f}"
    if name == "mix":
        share = 1 / (1 + np.exp(-np.stack([before, after])))
        return "share of the maximum {:.3f} to {:.3f}".format(*share)
    norms = np.linalg.norm(before), np.linalg.norm(after)
    cosine = np.clip(np.sum(before * after) / (norms[0] * norms[1]), -1, 1)
    angle = np.degrees(np.arccos(cosine))
    return f"norm {norms[0]:.3f} to {norms[1]:.3f}, turned by {angle:.1f} degrees"


if __name__ == "__main__":
    main()
