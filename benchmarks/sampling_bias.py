"""By how much the loss of a sample of the classes is lower than that of all, in the mean.

A plain softmax over classes whose logits are normal, with one deviation each row of the table;
means over draws and rows. `error` is how far the mean of exp(loss) over draws is from that of all
classes, in standard errors, at the row where it is farthest: a few with the correction.

    KERAS_BACKEND=torch python benchmarks/sampling_bias.py
"""

import argparse

import numpy as np
from keras import ops

from keras_vsoftmax import heads

DIM, ROWS = 64, 32


def losses(head, kernel, features, ids):
    if not head.built:
        head.build((None, DIM))
    head.kernel.assign(kernel)
    output = ops.convert_to_numpy(ops.stop_gradient(head(features, ids, training=True)))
    column = np.zeros_like(ids) if head.gives_two_columns else ids
    return -output[np.arange(ROWS), column].astype("float64")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=200)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(DIM, args.classes)).astype("float32")
    ids = rng.integers(0, args.classes, ROWS)
    print("| deviation | rate | correction | loss of all | bias | error |")
    print("|---|---|---|---|---|---|")
    for deviation in (1.0, 2.0, 4.0):
        features = rng.normal(size=(ROWS, DIM))
        features *= deviation / np.linalg.norm(features, axis=-1, keepdims=True)
        features = features.astype("float32")
        truth = losses(heads.Softmax(args.classes), kernel, features, ids)
        for rate in (0.1, 0.3):
            for correction in (True, False):
                head = heads.Softmax(
                    args.classes,
                    class_sampling=rate,
                    sampling_correction=correction,
                    sampling_seed=1,
                )
                draws = [losses(head, kernel, features, ids) for _ in range(args.draws)]
                bias = (np.mean(draws, 0) - truth).mean()
                sums = np.exp(draws)
                error = np.abs(sums.mean(0) - np.exp(truth)) / sums.std(0, ddof=1)
                error = error.max() * np.sqrt(args.draws)
                cells = (deviation, rate, correction, f"{truth.mean():.2f}", f"{bias:.4f}")
                print("|", " | ".join(map(str, cells)), f"| {error:.1f} |", flush=True)


if __name__ == "__main__":
    main()
