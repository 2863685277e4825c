"""Numbers, intervals and Markdown tables as a reader sees them."""

import pytest

from tests.report.made_up import metrics
from widedeep.report.summary import render_summary
from widedeep.report.text import PERCENT, code, count, escape, fenced, interval, markdown_table, number, percent


@pytest.mark.parametrize(
    ("value", "decimals", "text"), [(1.23456, 3, "1.235"), (-0.5, 2, "−0.50"), (-0.0001, 3, "0.000"), (7, 0, "7")]
)
def test_numbers_have_a_typographic_minus_and_no_minus_zero(value: float, decimals: int, text: str) -> None:
    assert number(value, decimals) == text


def test_intervals_counts_and_shares() -> None:
    assert interval(0.8321, 0.7731, 0.887) == "0.832 [0.773, 0.887]"
    assert interval(-0.1, -0.2, 0.05, 1) == "−0.1 [−0.2, 0.1]"
    assert interval(0.4, 0.4, 0.4) == interval(0.4) == "0.400"
    assert count(1234567.0) == "1,234,567"
    assert percent(-0.0123) == f"−1.2{PERCENT}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ndcg_at_10 0.8 [0.7, 0.9] & 5 % (a) #1", "ndcg_at_10 0.8 [0.7, 0.9] & 5 % (a) #1"),
        ("`rm -rf` *a* _b_ ~~c~~ snake_case", r"\`rm -rf\` \*a\* \_b\_ \~\~c\~\~ snake_case"),
        ("[a](http://b) [a][b]", r"[a]\(http:\//b) [a]\[b]"),
        ("www.a.b <b> &lt; a\r\nb\nc", r"www\.a.b &lt;b> &amp;lt; a b c"),
        ("a\\b|c", r"a\\b\|c"),
    ],
)
def test_markdown_shows_any_text_as_it_is(text: str, shown: str) -> None:
    assert escape(text) == shown
    assert escape(escape(text)) == shown
    assert markdown_table([text], []) == f"| {shown} |\n| --- |\n"


def test_code_in_markdown_ends_where_it_should() -> None:
    assert code("ndcg_at_10") == "`ndcg_at_10`"
    assert code("a`b|c") == r"a\`b\|c"
    assert fenced("a") == "```\na\n```"
    assert fenced("a\n````\nb") == "`````\na\n````\nb\n`````"


def test_cells_of_a_markdown_table_cannot_end_the_cell_the_row_or_begin_a_tag() -> None:
    table = markdown_table(["title", "n"], [["<script>alert('x')</script> | \"a\" \\| b\nc", "1"]], right=[1])
    header, ruler, row = table.splitlines()
    assert header == "| title | n |"
    assert ruler == "| --- | ---: |"
    assert row == "| &lt;script>alert('x')&lt;/script> \\| \"a\" \\\\\\| b c | 1 |"


def test_summary_has_the_headline_numbers_and_escapes_the_name_of_the_data() -> None:
    summary = render_summary("wide_deep", metrics(), "my|data", 5)
    lines = summary.splitlines()
    assert lines[0] == "| RMSE on 32 test ratings of my\\|data | online | frozen |"
    assert lines[2] == "| Wide & Deep | 0.900 [0.850, 0.950] | 1.000 [0.950, 1.050] |"
    assert "| Wide & Deep minus bias, paired | −0.100 [−0.150, −0.050] | −0.100 [−0.150, −0.050] |" in lines
    assert "| full ranking, frozen | ndcg_at_5 | recall_at_5 | hit_rate_at_5 | coverage_at_5 |" in lines
    assert lines[-1].endswith("| 0.400 |")  # coverage has no interval
