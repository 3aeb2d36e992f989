"""The tables of identification, from records as runs leave them."""

from keras_vsoftmax.experiments.report import report

_ALL = ("identification_top_5", "identification_auroc", "false_accept_rate", "identified_rate")


def _record(make_record, head, seed, top_1, **figures):
    record = make_record(head, seed, 1.0)
    del record["cosines"]
    record["data"]["identify"] = {"per_person": 1, "far": 0.01}
    figures = {**dict.fromkeys(_ALL, 0.5), "dir_at_far_0_1": 0.5, **figures}
    record["identification"] = {
        "identification_top_1": top_1,
        "known": 300,
        "unknown": 40,
        **{name: value for name, value in figures.items() if value is not None},
    }
    return record


def test_figures_that_the_strangers_do_not_support_stay_empty(make_record):
    bounds = {"false_accept_low": 0.004, "false_accept_high": 0.02}
    runs = [("softmax", 0, 0.4), ("softmax", 1, 0.42), ("virtual", 0, 0.5), ("virtual", 1, 0.54)]
    text = report.tables([_record(make_record, *run, **bounds) for run in runs])
    figures, differences = text.split("Minus softmax, paired by seed, 95%:")
    assert "300 queries of people who are enrolled by 1 image(s) each, 40 of strangers" in figures
    # Forty strangers show no rate of 0.01.
    row = (
        "| Virtual Softmax | 2 | 52.00 ± 2.83 | 50.00 ± 0.00 | 50.00 ± 0.00 |  | 0.5000 ± 0.0000 |"
    )
    assert f"{row} 50.00 ± 0.00 [0.40, 2.00] | 50.00 ± 0.00 |" in figures
    assert "+11.00 [-1.71, +23.71] | +0.00 [+0.00, +0.00] |  |" in differences


def test_records_without_bounds(make_record):
    text = report.tables([_record(make_record, "softmax", 0, 0.4, false_accept_rate=None)])
    assert "| Softmax | 1 | 40.00 | 50.00 | 50.00 |  | 0.5000 |  | 50.00 |" in text
