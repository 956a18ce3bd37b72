"""%nn_panel where there are no widgets, and what a board does with the magics themselves."""

from nnlab.magics import Lab
from nnlab.magics.complete import complete
from nnlab.magics.config import NNLab
from nnlab.magics.layout import TABS
from nnlab.magics.panel import Board
from nnlab.widgets.look import Texts
from nnlab.widgets.pages import Pages
from tests.magics.conftest import Session


def test_without_a_front_end_its_lines_are_shown(prepared: Session) -> None:
    shown = prepared.run("%nn_panel data --preset small").outputs[0].data
    assert set(shown) == {"text/html", "text/markdown", "text/plain"}
    assert "run = %nn_train data --model mlp --hidden 64 --epochs 15 --patience 5" in shown["text/plain"]
    assert "a terminal shows no widgets" in shown["text/plain"]


def test_what_a_board_runs_is_what_the_line_runs(prepared: Session) -> None:
    board = Board(Lab(prepared.shell, None, NNLab()))
    assert board.paste("first = %nn_train data --model mlp --hidden 4 --epochs 2 --view none;") == "nn_train"
    board.run("nn_train")
    typed = prepared.value("second = %nn_train data --model mlp --hidden 4 --epochs 2 --view none\nsecond")
    first = prepared.names["first"]
    assert first.spec == typed.spec and first.line == typed.line
    assert first.history.drop(columns="seconds").equals(typed.history.drop(columns="seconds"))
    words, run = board.runs()[-1]
    assert run == first.id and "accuracy" in words
    board.reset("nn_train")
    board.take_settings(run)
    assert "--hidden 4" in board.state("nn_train").line and "--epochs 2" in board.state("nn_train").line


def test_a_word_in_the_place_of_a_number_is_drawn_on_every_page(prepared: Session) -> None:
    board = Board(Lab(prepared.shell, None, NNLab()))
    tabs = [tab for tab in TABS if tab.verb == "nn_train"]
    drawn, fresh = (Pages(board, Texts(), lambda act: act(), True) for _ in "12")
    for line, pages in (("lr 0.02", [drawn]), ("lr find", [drawn, fresh]), ("lr 0.03", [drawn, fresh])):
        board.paste(f"%nn_train data --{line}")
        for page in pages:
            for tab in tabs:
                page.show(tab, board.state("nn_train"))
            ((_, made),) = [found for (_, name), found in page._controls.items() if name == "optimizer.lr"]
            assert str(made.value) == line.removeprefix("lr ")
    drawn.close()
    fresh.close()


def test_data_prepared_on_its_page_is_what_is_trained(prepared: Session) -> None:
    prepared.names["kept"] = prepared.names.pop("data")
    board = Board(Lab(prepared.shell, None, NNLab()))
    board.paste("other = %nn_preprocess df --target label --scale standard")
    board.run("nn_preprocess")
    assert prepared.names["other"].spec.scale.name == "standard"
    assert board.state("nn_train").line == "run = %nn_train other"


def test_tab_offers_data_and_tables(prepared: Session) -> None:
    found = complete("%nn_panel ", "", prepared.names, lambda kind: [])
    assert found is not None and {"data", "df"} <= {candidate.text for candidate in found.candidates}
