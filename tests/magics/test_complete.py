"""Completion in every position, and that it stays light."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnlab
from nnlab.core.data.steps import SCALERS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.params import Within
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.space import parse as parse_space
from nnlab.magics.complete import complete
from nnlab.magics.options import help_text
from nnlab.magics.text import parse
from nnlab.magics.verbs import VERBS

FRAME = pd.DataFrame({"age": [1], "my col": [2], "it's": [3], 7: [4]})
NAMES: dict[str, Any] = {
    "df": FRAME,
    "wide": pl.DataFrame({"height": [1]}),
    "X": FRAME.to_numpy(),
    "y": FRAME["age"],
    "spec": TrainSpec(),
    "number": 3,
    "_df": FRAME,
    "make": lambda n_in: None,
}


def stored(kind: str) -> list[str]:
    runs = ["baseline", "20260101T000000-0123abcd"]
    return {"run": runs, "unfinished": ["cut short"], "study": ["wide search"], "tag": ["good"]}[kind]


def found(text: str, after: str = "") -> tuple[str, list[str]]:
    """The fragment and the candidates at the | of text, or at its end."""
    before, _, rest = text.partition("|")
    result = complete(before, rest or after, NAMES, stored)
    return ("", []) if result is None else (result.fragment, [candidate.text for candidate in result.candidates])


@pytest.mark.parametrize(
    ("text", "fragment", "some", "none"),
    [
        ("%nn_", "%nn_", ["%nn_train", "%nn_tune"], []),
        ("run = %nn_tr", "%nn_tr", ["%nn_train"], ["%nn_tune"]),
        ("%%nn_tu", "%%nn_tu", ["%%nn_tune"], ["%nn_tune"]),
        ("%nn_train data --", "--", ["--lr", "--hidden", "--weight-decay", "--name", "--from"], ["--momentum"]),
        ("%nn_train data --weight_", "--weight_", ["--weight_decay"], ["--weight-decay"]),
        ("%nn_train data --optimizer momentum --mo", "--mo", ["--momentum", "--model"], ["--lr"]),
        ("%nn_train --mo| data --optimizer momentum", "--mo", ["--momentum"], []),
        ("%nn_train data --optimizer.", "--optimizer.", ["--optimizer.lr"], ["--lr"]),
        ("%nn_train data --lr 3 --l", "--l", ["--loss"], ["--lr"]),
        ("run = %nn_train data --optimizer ", "", ["adamw", "sgd"], ["--lr"]),
        ("  a.b['c'] = %nn_train data --optimizer=ad", "ad", ["adam", "adamw"], ["sgd"]),
        ("%nn_train data --h", "--h", ["--help", "--hidden"], []),
        ("%nn_train data --lr ", "", ["0.01"], []),
        ("%nn_train --help opt", "opt", ["optimizer"], ["--lr"]),
        ("%nn_train --help a", "a", ["all", "adamw", "activation"], ["--lr"]),
        ("%nn_train data --lr ", "", ["find", "0.01"], []),
        ("%nn_tune data --lr ", "", ["0.01"], ["find"]),
        ("%nn_load last --model ", "", ["make"], ["df"]),
        ("%%nn_train data --norm ", "", ["none", "batch", "layer"], []),
        ("%nn_train data --loss ", "", ["huber", "auto"], []),
        ("%nn_train data --metrics accuracy,ro", "ro", ["roc_auc"], ["accuracy"]),
        ("%nn_train data --monitor ", "", ["loss", "roc_auc"], []),
        ("%nn_train data --from ", "", ["spec", "last", "baseline", "'wide search'"], ["df"]),
        ("%nn_train --resume ", "", ["last", "'cut short'"], ["baseline"]),
        ("%nn_train data --class-weight b", "b", ["balanced"], ["none"]),
        ("%nn_tune data --fresh ", "", ["on", "off"], []),
        ("%nn_tune data --space lr", "lr", ['"lr=0.0003..0.03 log"'], []),
        ("%nn_tune data --space lr=1..2 drop", "drop", ["dropout=0..0.5"], []),
        ("%nn_tune data --space hid", "hid", ["hidden=[32..512]x1..4"], []),
        ("%nn_tune data --space optimizer={adamw,s", "s", ["sgd", "soap"], ["adamw"]),
        ("%nn_tune data --space optimizer={adamw,", "", ["sgd"], ["adamw"]),
        ("%nn_tune data --space lr=", "", ["0.0003..0.03 log"], []),
        ("%nn_tune data --space 'lr=1..2 if mod", "mod", ["model="], ["optimizer="]),
        ("%%nn_tune data\nlr: 1..2 if model={mlp,re", "re", ["resnet"], ["mlp"]),
        ("%nn_tune data --space sca", "sca", ["scale={" + ",".join(SCALERS) + "}"], []),
        ("%nn_tune data --space scale={auto,qu", "qu", ["quantile"], ["auto"]),
        ("%nn_tune data --space resnet.de", "resnet.de", ["resnet.depth=1..6"], []),
        ("%nn_tune data --space scale.noi", "scale.noi", [], ["noise"]),
        ("%nn_tune data --space au", "au", ["auto"], []),
        ("%nn_tune data --objectives loss lat", "lat", ["latency"], ["loss"]),
        ("%nn_tune data --objectives loss,la", "la", ["latency"], ["loss"]),
        ("%%nn_tune data\nsca", "sca", ["scale: "], ["scale_target: "]),
        ("%%nn_tune data\nencode: {one_hot,or", "or", ["ordinal"], ["one_hot"]),
        ("%%nn_tune data\nhidden: ", "", ["[32..512]x1..4"], []),
        ("%nn_load ", "", ["last", "baseline"], []),
        ("%nn_load wi", "wi", ["'wide search'"], []),
        ("%nn_report wi", "wi", ["'wide search'"], []),
        ("%nn_tune --resume ", "", ["last", "'wide search'"], ["'cut short'"]),
        ("%nn_train data --resume ", "", ["last", "'cut short'"], ["'wide search'"]),
        ("x = %nn_load ba", "ba", ["baseline"], []),
        ("%nn_runs --tagged g", "g", ["good"], []),
        ("%nn_runs --delete ", "", ["last", "baseline"], ["on"]),
        ("%nn_runs --sort acc", "acc", ["accuracy"], []),
        ("%nn_runs --u", "--u", ["--undo", "--untag"], []),
        ("%nn_runs baseline 2026", "2026", ["20260101T000000-0123abcd"], []),
        ("%nn_preprocess ", "", ["df", "wide"], ["X", "number", "_df"]),
        ("%nn_preprocess X,", "", ["y", "X", "df"], ["number"]),
        ("%nn_preprocess df --target ", "", ["age", "'my col'", "7"], []),
        ("%nn_preprocess --target a| df", "a", ["age"], []),
        ("%nn_preprocess df --target 'my", "'my", ["'my col'"], []),
        ("%nn_preprocess df --target=a", "a", ["age"], []),
        ("%nn_preprocess df --drop age,m", "m", ["'my col'"], ["age"]),
        ('%nn_preprocess df --drop ["my col", a', "a", ["age"], []),
        ("%nn_preprocess df --impute.", "--impute.", ["--impute.age", "--impute.'my col'"], ["--impute"]),
        ("%nn_preprocess df --impute.age k", "k", ["knn"], ["median"]),
        ("%nn_preprocess df --scale.age=ro", "ro", ["robust"], ["standard"]),
        ("%nn_preprocess wide --target ", "", ["height"], ["age"]),
        ("%%nn_tune data\nlr: 1..2\nop", "op", ["optimizer: "], []),
        ("%%nn_tune data\noptimizer: ", "", ["adamw", "{" + ",".join(OPTIMIZERS) + "}"], []),
        ("%%nn_tune data\nlr: ", "", ["0.0003..0.03 log"], []),
        ("%%nn_train data --optimizer momentum\nmo", "mo", ["momentum: ", "model: "], []),
        ("for i in range(3):\n    run = %nn_train data --optimizer ", "", ["adamw"], []),
    ],
)
def test_position(text: str, fragment: str, some: list[str], none: list[str]) -> None:
    got, words = found(text)
    assert got == fragment
    assert set(some) <= set(words)
    assert not set(none) & set(words)
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    "text",
    ["x = 3 % nn_", "print('", "%nn_no --", "%%time\nx = 3", "%%nn_train data\nimport torch\ntor", "x # %nn_tr"],
)
def test_elsewhere_it_is_silent(text: str) -> None:
    assert found(text)[1] == []


def test_every_range_that_is_offered_can_be_searched() -> None:
    for chosen in ("", "--optimizer momentum --schedule one_cycle --sampler grid --pruner hyperband "):
        _, offered = found(f"%nn_tune data {chosen}--space ")
        base = resolve(TrainSpec, {"optimizer": "momentum", "schedule": "one_cycle"} if chosen else {})
        assert len(offered) > 10
        for words in offered:
            parse_space((words.strip('"'),), base)
    for name in ("trials", "sampler", "startup", "device", "fresh", "name"):
        assert not [word for word in found(f"%%nn_tune data\n{name}: ")[1] if word.startswith("{") or ".." in word]


@pytest.mark.parametrize(
    ("text", "some", "none"),
    [
        ("%nn_train data --playground ", ["height", "width", "pca"], ["kind", "y"]),
        ("%nn_train data --playground height,w", ["width"], ["height", "pca"]),
        ("%%nn_train data\nplayground: he", ["height"], []),
        ("%nn_train number --playground ", [], ["height"]),
        ("%nn_evaluate last --slices ", ["height", "kind", "y"], ["age", "pca"]),
        ("%nn_evaluate last --slices kind,w", ["width"], ["kind"]),
        ("%nn_evaluate last --on df --slices ", ["age", "'my col'"], ["height"]),
        ("%nn_evaluate last --on test --slices ", ["height"], ["age"]),
        ("%nn_evaluate last --dependence ", ["height"], ["height:width"]),
        ("%nn_evaluate last --dependence width,height:", ["height:width", "height:kind"], ["height", "height:height"]),
        ("%nn_evaluate last --label ", ["no", "yes"], ["height"]),
    ],
)
def test_columns_where_no_table_is_named(text: str, some: list[str], none: list[str]) -> None:
    frame = pd.DataFrame(
        {"height": [x % 17 for x in range(40)], "width": [x * x for x in range(40)], "kind": list("aabb") * 10}
    )
    data = nnlab.prepare(frame.assign(y=["no", "yes"] * 20), target="y", encode="codes")
    result = complete(text, "", {**NAMES, "data": data}, stored)
    candidates = [candidate.text for candidate in result.candidates] if result else []
    assert set(some) <= set(candidates) and not set(none) & set(candidates)
    assert text.endswith(result.fragment if result else "")


def test_python_body_leaves_room_for_other_completers() -> None:
    alone = complete("%%nn_train data\nli", "", NAMES, stored)
    assert alone is None or not alone.alone


def test_files_and_their_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "a.doc").write_text("no table")
    FRAME.to_csv(tmp_path / "table one.csv", index=False)
    FRAME.to_csv(tmp_path / "b.csv.gz", index=False, sep=";")
    FRAME.rename(columns=str).to_parquet(tmp_path / "sub dir" / "c.parquet")
    assert {"'table one.csv'", "b.csv.gz", "'sub dir/'"} <= set(found("%nn_preprocess ")[1])
    assert "a.doc" not in found("%nn_preprocess ")[1]
    assert found("%nn_preprocess 'sub dir/")[1] == ["'sub dir/c.parquet'"]
    for path in ("'table one.csv'", "b.csv.gz", "'sub dir/c.parquet'"):
        assert "'my col'" in found(f"%nn_preprocess {path} --target ")[1]
    assert found("%nn_preprocess missing.csv --target ")[1] == []
    (tmp_path / "d.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd a,b")
    assert found("%nn_preprocess d.csv.zst --target ")[1] == []
    for path, columns in (("b.csv.gz", ["age", "'my col'", '"it\'s"', "7"]), ("missing.csv", [])):
        lazy = {"lazy": pl.scan_csv(tmp_path / path, separator=";")}
        result = complete("%nn_preprocess lazy --target ", "", lazy, stored)
        assert result is not None and [candidate.text for candidate in result.candidates] == columns


def test_a_new_optimizer_is_everywhere() -> None:
    def lookahead_sgd(
        groups: list[Any], lr: Annotated[float, Within(1e-6, 1.0, log=True), "step size"] = 0.1,
        slow_share: Annotated[float, Within(0.0, 1.0), "share of the slow weights"] = 0.5,
    ) -> None:  # fmt: skip
        """Lookahead around SGD."""

    OPTIMIZERS.add(lookahead_sgd)
    try:
        assert "lookahead_sgd" in found("%nn_train data --optimizer look")[1]
        assert "--slow-share" in found("%nn_train data --optimizer lookahead_sgd --slo")[1]
        assert "lookahead_sgd" in help_text(VERBS["nn_train"], {}, "all")
        assert "Lookahead around SGD." in help_text(VERBS["nn_train"], {}, "optimizer")
        assert "--slow-share" in help_text(VERBS["nn_train"], {"optimizer": "lookahead_sgd"}, "all")
        assert parse("data --slow-share 0.3", None, "nn_train").options == {"slow_share": "0.3"}
        assert "slow_share=0..1" in found("%nn_tune data --optimizer lookahead_sgd --space slow")[1]
    finally:
        del OPTIMIZERS["lookahead_sgd"]


@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            ["--lr", "=", "[", "'", '"', "df", "--target", "a,", "\n", "lr:", " ", "--space", "{", ";", "#"]
        ),
        max_size=8,
    ).map(" ".join)
)
@settings(max_examples=300, deadline=None)
def test_nothing_typed_breaks_it(text: str) -> None:
    for head in ("%nn_train ", "%%nn_tune d\n", "%nn_preprocess "):
        result = complete(head + text, "", NAMES, stored)
        assert result is None or (head + text).endswith(result.fragment)


def test_it_needs_no_torch(tmp_path: Path) -> None:
    script = """
import sys
from nnlab.magics.complete import complete, stored_names
for text in ("%nn_train d --", "%nn_train d --optimizer ", "%nn_load ", "%nn_train --from ", "%nn_tune d --space "):
    complete(text, "", {"df": 3}, stored_names)
from nnlab.magics.options import help_text
from nnlab.magics.verbs import VERBS
[help_text(verb) for verb in VERBS.values()]
print([name for name in ("torch", "optuna", "ipywidgets", "matplotlib", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"
