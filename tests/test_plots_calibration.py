"""Is the calibration curve drawn from the points that it is given?"""

import pytest

from r1book import plots_calibration


def test_points_stand_where_they_were_counted():
    curves = {"helpful": [[0.2, 0.25, 10], [0.8, 0.75, 40]], "harmless": [[0.5, 0.4, 20]]}
    (axes,) = plots_calibration.calibration(curves, "held out", "seed 0").axes
    diagonal, *lines = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [line.get_xydata().tolist() for line in lines] == [
        [[0.2, 0.25], [0.8, 0.75]],
        [[0.5, 0.4]],
    ]
    first, second = axes.collections
    assert first.get_sizes().tolist() == [20 + 130 / 4, 150]  # area by n, the largest 40
    assert second.get_sizes().tolist() == [20 + 130 / 2]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["as often as predicted", "helpful", "harmless"]
    assert (axes.get_title(), axes.get_xlabel()) == ("held out", "predicted probability")


def test_nothing_to_draw_is_told():
    for empty in ({}, {"helpful": []}):
        with pytest.raises(ValueError, match="nothing to draw"):
            plots_calibration.calibration(empty)
