"""The tables of retrieval, from records as runs leave them."""

from keras_vsoftmax.experiments.report import report


def _record(make_record, head, seed, error, recall):
    record = make_record(head, seed, error)
    record["data"]["unseen_classes"] = 20
    figures = dict.fromkeys(
        ("r_precision", "map_at_r", "mrr", "nmi", "ami", "intra", "nearest_other"), 0.5
    )
    record["retrieval"] = {
        **figures,
        "recall_at_1": recall,
        "pair_auc": 0.7 + recall / 10,
        "queries": 1999,
        "left_out": 1,
    }
    return record


def test_figures_and_paired_differences(make_record):
    runs = [("softmax", 0, 50, 0.4), ("softmax", 1, 52, 0.42)]
    runs += [("virtual", 0, 53, 0.3), ("virtual", 1, 55, 0.34)]
    text = report.tables([_record(make_record, *run) for run in runs])
    assert "among 1,999 images of 20 classes that were not trained on" in text
    assert "by the cosine, 1 left out" in text
    assert "| Softmax | 2 | 51.00 ± 1.41 | 41.00 ± 1.41 | 50.00 ± 0.00 |" in text
    differences = text.split("paired by seed")[1]
    assert "| Virtual Softmax | +3.00 [+3.00, +3.00] | -9.00 [-21.71, +3.71] |" in differences
    assert "| Softmax |" not in differences
