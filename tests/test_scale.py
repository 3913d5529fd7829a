"""Do TRL's trainer and grpo.py agree, as the book shows it? More cases: test_agreement.py."""

import pytest

from r1book import grpo, scale

pytest.importorskip("trl", minversion="1.16")


@pytest.mark.slow
@pytest.mark.parametrize("formula", sorted(scale.TOLD))
def test_loss_advantages_and_gradients_agree(formula):
    before, after = scale.agreement_with_trl(formula)
    for a in (before, after):
        ours, theirs = a.loss
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
        assert a.advantage_gap < 1e-6 and a.gradient_gap < 2e-5
        assert a.gradients[0].abs().max() > 1e-3 and a.metrics["kl"] > 0.05
    assert before.metrics["clip_fraction"] == 0.0
    assert before.metrics["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert 0.1 < after.metrics["clip_fraction"] < 0.9


@pytest.mark.slow
def test_the_comparison_tells_formulas_apart():
    one, other = (scale.agreement_with_trl(f)[1].gradients for f in ("token_mean", "deepseekmath"))
    assert (one[0] - other[1]).abs().max() / other[1].abs().max() > 0.02


def test_the_report_s_product_ratio_is_not_in_trl():
    assert scale.TOLD.keys() | {"r1_report"} == grpo.FORMULAS.keys()
    with pytest.raises(ValueError, match="TRL has no such option"):
        scale.agreement_with_trl("r1_report")
