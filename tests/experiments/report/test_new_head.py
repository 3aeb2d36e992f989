"""Tables and figures take their heads from what is registered."""

import pytest

from keras_vsoftmax import heads
from keras_vsoftmax.experiments.report import figures, report
from keras_vsoftmax.experiments.training import recipes, records
from tests.heads.test_new_head import GapSoftmax


@pytest.fixture(autouse=True)
def registered():
    heads.register("gap")(GapSoftmax)


def test_the_report_has_a_row_of_it(make_record, tmp_path):
    made = [make_record(head, seed, 1.0 + seed) for head in ("softmax", "gap") for seed in (0, 1)]
    lines = [line for line in report.tables(made).splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| Softmax", "| Gap Softmax"]
    assert "1.50 ± 0.71 (n = 2)" in lines[3]
    (group,) = records.groups(made)
    pytest.importorskip("matplotlib")
    figures.convergence(group, tmp_path / "convergence.png")
    assert (tmp_path / "convergence.png").stat().st_size > 0


def test_titles_are_those_of_the_heads_with_the_poster_first():
    assert list(recipes.TITLES)[:5] == ["softmax", "noisy", "large_margin", "angular", "virtual"]
    assert sorted(recipes.TITLES) == sorted(heads.NAMES)
    assert recipes.TITLES["gap"] == "Gap Softmax"
    assert recipes.head_knobs("gap", recipes.MNIST) == {}
    assert "unknown" not in recipes.TITLES
