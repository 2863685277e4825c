"""Long loops say how far they are; short ones say nothing."""

import pytest

from widedeep.progress import progress


def test_a_long_loop_without_a_terminal_prints_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = iter([0.0, 10.0, 30.0, 40.0])  # at the start, and after each part
    monkeypatch.setattr("widedeep.progress.time.monotonic", lambda: next(moments))
    parts = [range(500), range(1000), range(500)]
    assert list(progress(parts, 2000, "predicted", "ratings")) == parts
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "predicted 1,500 of 2,000 ratings, 50 per second\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_short_loop_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    assert list(progress([[1], [2]], 2, "made", "lists")) == [[1], [2]]
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_shows_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("widedeep.progress.BAR_AFTER", 0)
    list(progress([range(500), range(500)], 1000, "made", "lists"))
    bar = capsys.readouterr().err
    assert "made" in bar
    assert "lists/s" in bar
