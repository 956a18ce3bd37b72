"""Help is read from the declarations."""

import re

import pytest

from nnlab.core.errors import SpecError
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.params import params_of
from nnlab.core.spec import TrainSpec
from nnlab.magics.options import help_text
from nnlab.magics.text import parse
from nnlab.magics.verbs import VERBS, options_for

TRAIN = VERBS["nn_train"]


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_every_option_is_there_once_with_its_default(verb) -> None:  # type: ignore[no-untyped-def]
    text = help_text(verb, {}, "all") if verb.first else help_text(verb)
    assert text.index("Examples") < text.index("\nOptions\n")
    lines = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    short = {f"--{name.replace('_', '-')}" for name in options_for(verb) if "." not in name}
    assert short <= set(lines)
    assert len(lines) == len(set(lines)) == len({(o.field, o.part, o.name) for o in options_for(verb).values()})
    assert max(len(line) for line in text.splitlines()) <= 120


@pytest.mark.parametrize("verb", [verb for verb in VERBS.values() if verb.first], ids=lambda verb: verb.name)
def test_the_help_begins_with_the_twenty_options_that_people_need(verb) -> None:  # type: ignore[no-untyped-def]
    text = help_text(verb)
    lines = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert {f"--{name.replace('_', '-')}" for names in verb.first.values() for name in names} == set(lines)
    assert 18 <= len(lines) <= 22
    rest = int(re.search(rf"(\d+) more options:  %{verb.name} --help all", text)[1])
    everything = [line for line in help_text(verb, {}, "all").splitlines() if line.startswith("  --")]
    assert rest == len(everything) - len(lines)
    assert max(len(line) for line in text.splitlines()) <= 120


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_examples_can_be_typed(verb) -> None:  # type: ignore[no-untyped-def]
    for example in verb.examples:
        head, _, cell = example.partition("\n")
        line = head.partition(verb.name)[2]
        call = parse(line, cell or None, verb.name, {})
        assert call.help is None
        alone = ("nn_runs", "nn_config", "nn_stop", "nn_attach", "nn_panel")
        assert call.words or "resume" in call.options or verb.name in alone


def test_usage_says_how_many_words_are_taken() -> None:
    assert [help_text(VERBS[name]).partition("\n")[0] for name in ("nn_load", "nn_runs", "nn_config")] == [
        "%nn_load subject [--option value ...]",
        "%nn_runs [subject ...] [--option value ...]",
        "%nn_config [--option value ...]",
    ]


def test_the_short_help_shows_all_of_a_part_that_the_line_names() -> None:
    text = help_text(TRAIN, {"optimizer": "momentum"})
    words = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert len(words) == len(set(words)) <= 25
    declared = {f"--{name.replace('_', '-')}" for name in OPTIMIZERS["momentum"].params}
    assert declared <= set(words)


def test_the_chosen_parts_are_shown() -> None:
    text = help_text(TRAIN, {"optimizer": "momentum"}, "all")
    assert "optimizer momentum\n" in text
    assert "--momentum" in text
    assert "--beta1" not in text


def test_topics() -> None:
    listing = help_text(TRAIN, {}, "optimizer")
    assert all(f"  {name} " in listing and entry.summary in listing for name, entry in OPTIMIZERS.items())
    assert params_of(TrainSpec)["epochs"].help in help_text(TRAIN, {}, "--epochs")
    assert "--momentum" in help_text(TRAIN, {}, "nesterov")
    assert help_text(TRAIN, {}, "momentum").endswith("--optimizer momentum")
    elastic = help_text(TRAIN, {}, "elastic_net")
    assert "Zou & Hastie 2005" in elastic and "--elastic-net.l1-share" in elastic
    assert elastic.endswith("--elastic-net value")
    with pytest.raises(SpecError, match="did you mean 'optimizer'"):
        help_text(TRAIN, {}, "optimiser")


def test_line_asks_for_help() -> None:
    assert parse("-h", None, "nn_train").help == ""
    assert parse("data --optimizer sgd --help", None, "nn_train").help == ""
    assert parse("--help optimizer", None, "nn_train").help == "optimizer"


def test_help_of_an_entry_shows_the_defaults_of_the_run() -> None:
    default = help_text(VERBS["nn_train"], {}, "adamw")
    assert re.search(r"--lr +0\.01 ", default) and re.search(r"--weight-decay +0\.1 ", default)
    assert re.search(r"--lr +0\.001 ", help_text(VERBS["nn_train"], {}, "adam"))
    assert "--l1" in help_text(VERBS["nn_train"], {}, "l1")
