"""Words of other libraries lead to the option that does the same, and every hint can be typed."""

import re

import pytest

from nnlab.core.errors import SpecError
from nnlab.core.foreign import CHOICES, OPTIONS, SEARCH, TABLE_OPTIONS
from nnlab.core.metrics import METRICS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import is_override, options_of, resolve
from nnlab.core.params import params_of
from nnlab.core.spec import PrepareSpec, TrainSpec, TuneSpec
from nnlab.magics.text import parse
from nnlab.magics.verbs import VERBS, options_for


def error_of(line: str, verb: str = "nn_train") -> str:
    """What a line is answered with."""
    spec = PrepareSpec if verb == "nn_preprocess" else TrainSpec
    with pytest.raises(SpecError) as caught:
        resolve(spec, dict(parse(f"data {line}", None, verb, {}).options))
    assert len(str(caught.value)) < 240
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("--optimizer sam", "--optimizer adamw --sam 0.05"),
        ("--optimizer lookahead", "--optimizer adamw --lookahead 5"),
        ("--norm spectral", "--spectral-norm 1"),
        ("--early-stopping", "--patience 20"),
        ("--early-stopping 10", "--patience 20"),
        ("--alpha-dropout", "--activation selu --dropout 0.1"),
        ("--l1", "--l1 0.0001"),
        ("--l2", "--l2 0.0001"),
        ("--mixup", "--mixup 0.2"),
        ("--ema", "--average ema"),
        ("--ema 0.99", "--average.decay 0.99"),
        ("--swa", "--average swa"),
        ("--clip", "--clip-norm 1"),
        ("--clip 1", "--clip-norm 1"),
        ("--amp", "--precision bf16"),
        ("--scheduler", "--schedule cosine"),
        ("--scheduler plateau", "--schedule cosine"),
        ("--batch 32", "--batch-size 256"),
        ("--learning-rate 0.1", "--lr 0.01"),
        ("--device gpu", "--device cuda"),
        ("--device cuda:0", "CUDA_VISIBLE_DEVICES"),
        ("--metrics accuracy,auc", "--metrics roc_auc"),
        ("--class-weight.yes 3", '--class-weight "yes=3,no=1"'),
        ("--class-weights balanced", "--class-weight balanced"),
        ("--test-size 0.2", "in %nn_preprocess, write  --test 0.2"),
        ("--balance weights", "it is one of %nn_preprocess"),
    ],
)
def test_a_word_of_another_library_is_answered_with_the_option(line: str, hint: str) -> None:
    assert hint in error_of(line)


def test_words_that_nnlab_knows_are_taken() -> None:
    for line in ("--l1 0.1", "--l2 0.1", "--mixup 0.2", "--optimizer adafactor --clip 1", "--activation swish"):
        resolve(TrainSpec, dict(parse(f"data {line}", None, "nn_train", {}).options))


@pytest.mark.parametrize(("verb", "table"), [("nn_train", OPTIONS), ("nn_preprocess", TABLE_OPTIONS)])
def test_every_hint_of_an_option_can_be_typed(verb: str, table: dict[str, tuple[str, str]]) -> None:
    known = options_for(VERBS[verb])
    assert not [word for word in table if word in known or is_override(word)]
    for line in {line for line, _ in table.values()}:
        _check_line(line, verb)


def test_every_hint_of_a_search_can_be_typed_and_is_given() -> None:
    known = options_for(VERBS["nn_tune"])
    assert not [word for word in SEARCH if word in known]
    for word, (line, _) in SEARCH.items():
        said = parse(f"data {line}", None, "nn_tune", {}).options
        resolve(TuneSpec, {name: value for name, value in said.items() if name != "monitor"})
        with pytest.raises(SpecError, match=re.escape(f"no option {word!r}: write  {line}")):
            parse(f"data --{word} 3", None, "nn_tune", {})


@pytest.mark.parametrize("name", CHOICES)
def test_every_hint_of_a_choice_can_be_typed(name: str) -> None:
    nested = {option.name: option.param for option in options_of(TrainSpec).values()}
    domain = (params_of(TrainSpec) | params_of(TuneSpec) | nested)[name].domain
    assert not [word for word in CHOICES[name] if word in domain]
    for line in {line for line, _ in CHOICES[name].values()}:
        _check_line(line, "nn_tune" if name in params_of(TuneSpec) else "nn_train")


def _check_line(line: str, verb: str) -> None:
    call = parse(f"data {line}", None, verb, {})
    own = {name: value for name, value in call.options.items() if name not in VERBS[verb].own}
    if verb == "nn_preprocess":
        resolve(PrepareSpec, {"target": "y"} | own)
    elif verb == "nn_tune":
        resolve(TuneSpec, own)
    else:
        resolve(TrainSpec, own)


def test_of_a_long_list_the_near_words_are_named() -> None:
    text = error_of("--optimizer adan")
    assert "adam, " in text and "soap" not in text
    assert f"--help optimizer lists all {len(OPTIMIZERS)}" in text
    assert f"--help metrics lists all {len(METRICS)}" in error_of("--metrics accurate")
    assert "cuda, mps" in error_of("--device tpu")  # a short one is told whole
