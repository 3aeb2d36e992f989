import dataclasses

import numpy as np
import pytest

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report import published, report, tables
from keras_vsoftmax.experiments.training import recipes, records


def _group(make_record, softmax, virtual, recipe=recipes.MNIST):
    made = [make_record("softmax", seed, error, recipe) for seed, error in softmax.items()]
    made += [make_record("virtual", seed, error, recipe) for seed, error in virtual.items()]
    return made


def test_paired_difference_is_that_of_student(make_record):
    softmax = {0: 1.2, 1: 1.31, 2: 1.1, 3: 9.0}
    virtual = {0: 1.1, 1: 1.29, 2: 0.9, 7: 0.1}
    (group,) = records.groups(_group(make_record, softmax, virtual))
    mean, low, high = tables.paired_difference(group, "virtual")
    half = 4.302652729749464 * np.std([-0.1, -0.02, -0.2], ddof=1) / np.sqrt(3)  # t of two degrees
    centre = -0.32 / 3
    np.testing.assert_allclose([mean, low, high], [centre, centre - half, centre + half])
    assert tables.paired_difference(group, "softmax") is None
    assert tables.paired_difference(group, "noisy") is None


def test_differences_all_alike_have_a_point_for_an_interval(make_record):
    (group,) = records.groups(
        _group(make_record, {0: 2.0, 1: 3.0, 2: 1.5}, {0: 1.0, 1: 2.0, 2: 0.5})
    )
    assert tables.paired_difference(group, "virtual") == (-1.0, -1.0, -1.0)


def test_one_common_seed_is_no_comparison(make_record):
    (group,) = records.groups(_group(make_record, {0: 1.0, 1: 1.1}, {1: 1.0, 2: 1.0}))
    assert tables.paired_difference(group, "virtual") is None


@pytest.mark.parametrize(
    ("virtual", "verdict"),
    [
        ({0: 0.5, 1: 0.61}, "has the lower error"),
        ({0: 1.5, 1: 1.61}, "has the higher error"),
        ({0: 0.5, 1: 1.61}, "are not told apart here"),
    ],
)
def test_table_says_who_is_better(make_record, virtual, verdict):
    text = report.tables(_group(make_record, {0: 1.0, 1: 1.1}, virtual))
    assert verdict in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines] == [
        "| Head",
        "| ---",
        "| Softmax",
        "| Virtual Softmax",
    ]
    assert (
        "| 0.35 | 1.05 ± 0.07 (n = 2) |  | 0.905 ± 0.007 | 0.200 ± 0.000 | 8.0 ± 0.0 |" in lines[2]
    )
    assert len({line.count("|") for line in lines}) == 1
    assert "60,000 training and 10,000 test images. 2 CPU cores; keras 3.15.1; 2026-11-24" in text


def test_document_has_every_figure_of_the_poster(make_record):
    runs = _group(make_record, {0: 1.0}, {0: 0.9}, recipes.IMAGENET32)
    runs += _group(make_record, {0: 1.0}, {0: 0.9}, recipes.MNIST_2D)
    text = report.document(runs)
    every = (published.OWN_RUNS, published.TOP5, published.CITED, published.VERIFICATION)
    for figures in every:
        for table in figures.values():
            for figure in table.values():
                assert f" {figure:.2f} |" in text
    assert text.count("Not run.") == 5
    assert "## MNIST, 2-D features" in text
    top5 = text[text.index("Top-5 error:") :]
    assert "| Softmax | 26.86 | 0.50 (n = 1) |" in top5
    for section in text.split("## "):
        assert len({line.count("|") for line in section.splitlines() if line[:1] == "|"}) <= 1


def test_cited_systems_have_what_was_measured(make_record):
    """Beside the figure, whatever the width; a head of ours on the backbone is no such run."""
    genpool = dataclasses.replace(recipes.CIFAR100, backbone="genpool", width=0.25)
    disturbed = dataclasses.replace(recipes.CIFAR100, disturb_label=0.1)
    acu = dataclasses.replace(recipes.CIFAR100, backbone="acu", disturb_label=0.1)
    quick = make_record("softmax", 0, 1.0, dataclasses.replace(genpool, backbone="densenet40"))
    runs = [make_record("softmax", seed, 40.0 + seed, genpool) for seed in (0, 2)]
    runs += [make_record("softmax", 0, 30.0, disturbed), make_record("softmax", 0, 31.0, acu)]
    runs += [make_record("virtual", 0, 50.0, dataclasses.replace(genpool, backbone="acu"))]
    runs += [{**quick, "variant": "quick"}]
    lines = report.document(runs).splitlines()
    genpool = "GenPool | 32.37 | 41.00 ± 1.41 (n = 2, genpool at width 0.25, 2 epochs) |"
    disturbed = (
        "DisturbLabel | 32.99 | 30.00 (n = 1, plain_cifar100 at width 1, 2 epochs); "
        "31.00 (n = 1, acu at width 1, 2 epochs) |"
    )
    for row in (genpool, disturbed, "ACU | 27.47 | not run |", "DenseNet-40 | 27.55 | not run |"):
        # Five groups of CIFAR100's runs, each with the poster's rows.
        assert sum(line.startswith(f"| {row}") for line in lines) == 5
    for row in ("ACU | 7.12 | not run |", "Maxout | 2.47 | not run |", "R-CNN | 0.31 | not run |"):
        assert sum(line.startswith(f"| {row}") for line in lines) == 1


def test_the_head_of_a_cited_system(make_record):
    """DSN's figure on MNIST is with the squared hinge."""
    dsn = dataclasses.replace(recipes.MNIST, backbone="dsn_mnist")
    for head, cell in (("softmax", "not run"), ("hinge", "2.00 (n = 1, dsn_mnist at width 1")):
        text = report.document([make_record(head, 0, 2.0, dsn)])
        assert f"| DSN | 0.39 | {cell}" in text


def test_synthetic_data_is_told(make_record):
    record = make_record("softmax", 0, 1.0)
    record["data"]["source"] = "synthetic"
    for text in (report.tables([record]), report.document([record])):
        table = text[text.index("**Synthetic data, no measurement.**") :].split("## ")[0]
        assert "| Softmax | 1.00 (n = 1) |" in table
        assert "Published" not in table
        assert "Maxout" not in table


def test_written_with_a_figure_for_each_group(tmp_path, make_record):
    pytest.importorskip("matplotlib")
    runs = _group(make_record, {0: 1.0, 1: 1.2}, {0: 0.9, 1: 1.0})
    runs += _group(make_record, {0: 9.0}, {0: 8.0}, recipes.CIFAR100)
    text = report.write(runs, tmp_path)
    assert (tmp_path / "report.md").read_text() == text
    figures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert figures == ["convergence-0-mnist.png", "convergence-1-cifar100.png"]
    assert all(f"({name})" in text for name in figures)


def test_a_run_says_how_its_virtual_class_came_in(make_record):
    published = dataclasses.replace(recipes.MNIST, virtual_warmup=0.0, virtual_strength=1.0)
    words = [tables.training(make_record("virtual", 0, 1.0, r)) for r in (recipes.MNIST, published)]
    assert words[0] == words[1] + ", the virtual class coming in over 33% of the steps, 0.5 of it"


def test_a_study_beside_the_runs_is_left_out(make_record):
    study = make_record("virtual", 0, 9.0)
    del study["cosines"]
    runs = [make_record("virtual", 0, 3.0)]
    assert "Left out, since their figures are others: 1." in report.document([*runs, study])
    assert "Left out" not in report.document(runs)
    assert report.tables([*runs, study]) == report.tables(runs)
    with pytest.raises(ExperimentError, match="must have one of cosines"):
        report.tables([study])
