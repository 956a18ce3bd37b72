"""%nn_tune --resume and the options of an honest score, as they are typed."""

from pathlib import Path

import nnlab
from tests.magics.conftest import Session

QUICK = "--epochs 2 --hidden 8 --batch-size 32 --model mlp --view none"
LINE = f"%nn_tune data {QUICK} --space 'lr=1e-3..1e-1 log' dropout=0..0.5"


def test_a_study_goes_on_by_its_name_or_alone(prepared: Session) -> None:
    first = prepared.value(f"{LINE} --trials 2 --name mine").trials["score"].tolist()
    alone = prepared.value("%nn_tune --resume --trials 3 --view none")
    assert (alone.name, len(alone.trials)) == ("mine", 3)
    assert alone.trials["score"].tolist()[:2] == first
    named = prepared.value("%nn_tune data --resume mine --trials 4 --view none")
    assert len(named.trials) == 4
    for loaded in (prepared.value("%nn_load mine"), nnlab.load("mine")):
        assert (loaded.best_score, len(loaded.trials)) == (named.best_score, 4)
    for line in ("%nn_load min", "%nn_evaluate mine"):
        assert "there are no runs in" in prepared.error(line)[1]
    prepared.names["study"] = named
    assert len(prepared.value("%nn_tune --resume study --trials 5 --view none").trials) == 5


def test_what_a_study_cannot_take_is_refused_in_a_line(prepared: Session) -> None:
    _, text = prepared.error("%nn_tune --resume")
    assert "there are no studies in" in text
    prepared.run(f"{LINE} --trials 1 --name mine;")
    _, text = prepared.error("%nn_tune --resume mine --epochs 9")
    assert "--epochs: a study that goes on keeps its own; it takes --trials, --minutes" in text
    _, text = prepared.error("%nn_tune --resume min")
    assert "no study 'min'" in text
    assert "mine" in text


def test_what_the_winner_is_worth_is_shown(prepared: Session) -> None:
    shown = prepared.run(f"{LINE} --trials 5 --finalists 2 --seeds 2 --ensemble 3 --refit")
    text = "\n".join(output.data.get("text/plain", "") for output in shown.outputs)
    assert "flatters itself by about" in text
    assert "Finalists from fresh seeds" in text
    assert "study.ensemble" in text
    assert "--finalists 2" in text  # the line that repeats it


def test_the_password_of_a_database_is_not_shown(prepared: Session, tmp_path: Path) -> None:
    from nnlab.core.spec import TuneSpec
    from nnlab.core.tune.header import without_password

    spec = without_password(TuneSpec(storage="postgresql://me:very-secret@host/db"))
    assert "very-secret" not in str(spec)
    shown = prepared.run(f"{LINE} --trials 1 --storage sqlite:///{tmp_path}/s.db --name shared")
    text = "\n".join(output.data.get("text/plain", "") for output in shown.outputs)
    assert f"--storage sqlite:///{tmp_path}/s.db" in text
