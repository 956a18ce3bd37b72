import re

import pytest

from nnlab.report.blocks import Code, Sentence, render
from nnlab.report.html import esc, visible
from nnlab.report.tables import Table, number, shorten, show
from tests.report.reader import BARE, Reader
from tests.report.standins import HOSTILE


def markdown_as_html(source: str) -> str:
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return str(markdown2html_mistune(source))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_verbatim_and_makes_no_element(text: str) -> None:
    read = Reader(f'<p title="{esc(text)}">{esc(text)}</p>')
    assert read.tags == {"p"} and read.attributes == {"title"}
    assert read.text == visible(text)


@pytest.mark.parametrize("text", ["\x1b[31m", "\r", "\u202e", "\x00", "\ud800"])
def test_characters_that_act_are_spelled_out(text: str) -> None:
    assert visible(text).startswith("\\")
    visible(text).encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_keeps_its_shape_whatever_its_cells_hold(text: str) -> None:
    table = Table([text, "n"], [(text, 1), ("plain", 2)], text)
    read = Reader(table.html())
    assert read.tags <= BARE and read.attributes <= {"align"}
    assert read.text.count(visible(shorten(text))) == 2 + (len(text) <= 200)
    assert table.html().count("<tr>") == 3

    lines = table.markdown().partition("\n\n")[2].splitlines()
    assert len(lines) == 4
    assert all(line.count("|") == 3 for line in lines)
    assert len(table.text().splitlines()) == 4


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_renders_to_the_text_itself(text: str) -> None:
    text = shorten(text)
    page = Reader(markdown_as_html(Table(["name", "n"], [(text, 1)]).markdown()))
    assert {"script", "img", "svg", "a", "strong", "em"}.isdisjoint(page.tags)
    assert " ".join(visible(text).split()) in page.text


@pytest.mark.parametrize("text", ["$5 to $9", r"\(a\) $$b$$ \[c\]", "$"])
def test_signs_of_mathematics_stand_alone_in_plain_type(text: str) -> None:
    found = Sentence("price:", text)
    for html in (found.html(), markdown_as_html(found.markdown())):
        assert f"price: {text}" in Reader(html).text and "<code>" not in html
        assert all(piece in ("$", "\\") for piece in re.findall(r">([^<>]*[$\\][^<>]*)<", html)), "no tag parts them"
    assert not re.search(r"[$]|\\\\", found.markdown()), "a notebook takes mathematics out of Markdown before all else"


def test_long_words_are_parted_where_a_column_may_be_narrow() -> None:
    name = "total_sales_of_the_last_month." + "x" * 50
    found = Table(["name", "n"], [(name, 1), ("a short name", 2)], align="wr").html()
    assert "total_<wbr>sales_<wbr>of_" in found and f"{'x' * 20}<wbr>{'x' * 20}" in found
    assert name in Reader(found).text and "a short name" in found
    assert "<wbr>" not in Table(["name", "n"], [(name, 1)], align="lr").html()


@pytest.mark.parametrize("text", HOSTILE)
def test_code_keeps_its_lines_and_does_not_leave_its_block(text: str) -> None:
    data = render([Sentence("0.9", text), Code("This run again", text)])
    read = Reader(data["text/html"])
    assert read.tags <= BARE and visible(text) in read.text
    page = Reader(markdown_as_html(Code("again", text).markdown()))
    assert {"script", "img", "svg", "a"}.isdisjoint(page.tags)
    assert visible(text).strip() in page.text


def test_numbers_go_right_and_words_left() -> None:
    table = Table(["metric", "value", "maybe"], [("loss", 0.25, None), ("rows", 1200, 3)])
    assert "---:" in table.markdown().splitlines()[1].split("|")[2]
    assert table.text().splitlines() == [
        "metric  value  maybe",
        "loss     0.25      –",
        "rows    1,200      3",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.95804, "0.958"),
        (1.0, "1"),
        (0.99996, "0.99996"),
        (-0.999999, "-0.999999"),
        (1.00002, "1"),
        (31234.5, "31,234"),
        (1.5e-7, "1.5e-07"),
        (float("nan"), "nan"),
        (-0.5, "-0.5"),
        (3e12, "3e+12"),
    ],
)
def test_a_number_has_four_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_values_as_cells() -> None:
    assert [show(v) for v in (None, True, 7, "a", 1234567)] == ["–", "yes", "7", "a", "1,234,567"]
