"""The figures of retrieval from their definitions, in float64, one query and one item at a time."""

import math

import numpy as np

TIE = 1e-6


def score(query, item, metric):
    if metric == "euclidean":
        return -float(np.sum((query - item) ** 2))
    product = math.sqrt(float(query @ query)) * math.sqrt(float(item @ item))
    return float(query @ item) / product if product else 0.0


def ranking(query, label, items, labels, metric, itself=None):
    """Whether each item is of the query's class, in the order of the scores.

    Among equal scores the items of other classes come first.
    """
    scored = [
        (score(query, item, metric), item_label == label)
        for place, (item, item_label) in enumerate(zip(items, labels))
        if place != itself
    ]

    def tie(own_score):
        if metric == "cosine":
            return TIE
        length = math.dist(query, np.median(items, axis=0))
        return 2 * TIE * (length**2 + (length + math.sqrt(-own_score)) ** 2)

    # A partner is ranked as if it were worse by what counts as equal.
    order = sorted(scored, key=lambda pair: (-(pair[0] - tie(pair[0]) * pair[1]), pair[1]))
    return [relevant for _, relevant in order]


def figures(queries, labels, items=None, item_labels=None, metric="cosine", ks=(1, 2, 4, 8)):
    """dict as `RetrievalResult.to_dict` gives it, and how many queries were left out."""
    queries = np.asarray(queries, "float64")
    itself = items is None
    items = queries if itself else np.asarray(items, "float64")
    item_labels = labels if itself else item_labels
    rows, left_out = [], 0
    for place, (query, label) in enumerate(zip(queries, labels)):
        hits = ranking(query, label, items, item_labels, metric, place if itself else None)
        relevant = sum(hits)
        if not relevant:
            left_out += 1
            continue
        row = {f"recall_at_{k}": float(any(hits[:k])) for k in ks}
        row["r_precision"] = sum(hits[:relevant]) / relevant
        precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(relevant)]
        row["map_at_r"] = sum(p for p, hit in zip(precisions, hits) if hit) / relevant
        row["mrr"] = 1 / (1 + hits.index(True))
        rows.append(row)
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return means, left_out


def auc(positives, negatives):
    """The probability that a positive score is above a negative one, ties counted half."""
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))
