"""What each magic does: parse, call, show. `call` is the one door; heavy libraries are imported by what is called."""

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls
from nnlab.core.errors import NNLabError, SpecError, StoreError
from nnlab.core.models import MODELS
from nnlab.core.options import options_of, resolve
from nnlab.core.params import Column, params_of
from nnlab.core.registry import Part
from nnlab.core.spec import CUSTOM, OWN_NETWORK, PrepareSpec, TrainSpec, TuneSpec
from nnlab.magics import background, config, evaluating, listing, repeating, reporting, resuming, subjects, tuning
from nnlab.magics.body import run_body
from nnlab.magics.lines import to_line
from nnlab.magics.options import help_text
from nnlab.magics.runs import any_run, network_of, stored_run_or_study
from nnlab.magics.scan import Word, plain, value_of, with_article
from nnlab.magics.text import Call, layered, parse
from nnlab.magics.verbs import VERBS
from nnlab.magics.views import View
from nnlab.magics.work import Training, beside, publish, under_view
from nnlab.report.bundle import Bundle, page

if TYPE_CHECKING:
    from nnlab.core.run import Run
    from nnlab.core.store.runs import Store
    from nnlab.core.tune.study import Study
    from nnlab.magics import Lab

Names = Mapping[str, Any]
SWITCHES = ("probe", "baseline")  # of %nn_train, on unless they are turned off


def call(lab: "Lab", verb: str, line: str, cell: str | None, local_ns: Names | None) -> Any:
    """Do what the text of a magic says and give its value."""
    names: Names = ChainMap(dict(local_ns or {}), lab.ip.user_ns)
    said = parse(line, cell, verb, names)
    if said.help is not None:
        print(help_text(said.verb, said.chosen(), said.help))
        return None
    value = DEEDS[verb](lab, said, names)
    if value is not None:
        shown = not said.muted and verb != "nn_load"
        lab.keep(value, f"{verb} {line} {cell or ''}", shown, said.muted)
    return value


def _store() -> "Store":
    from nnlab.core.store.runs import Store

    return Store()


def settle(
    lab: "Lab", said: Call, *, based: bool = False, own_network: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the specs, defaults put under them, and the options of the magic itself, read.

    based: a spec to start from was named, which no default shall change.
    """
    layers = _layers(lab)
    if based:
        layers = [{name: layer[name] for name in layer if name in said.verb.own} for layer in layers]
    parts = {"model": CUSTOM} if own_network else {}
    options = layered(said.verb, layers, said.options, parts)
    declared = said.verb.own.items()
    own = {name: param.read(options.pop(name)) if name in options else param.default for name, param in declared}
    return options, own


def _layers(lab: "Lab") -> list[dict[str, Any]]:
    return list(config.layers(_store().root, lab.settings).values())


def _preprocess(lab: "Lab", said: Call, names: Names) -> Any:
    frame = subjects.frame(said.subject, names)
    options, _ = settle(lab, said)
    if isinstance(frame, tuple):
        options.setdefault("target", "target")
    known = subjects.columns(said.subject, names)
    for name, param in params_of(PrepareSpec).items():
        if isinstance(param.domain, Column) and param.many and isinstance(options.get(name), list):
            options[name] = subjects.split_columns(options[name], known)
    if "target" not in options and isinstance(frame, str) and frame.lower().startswith("sklearn:"):
        options["target"] = "target"  # what the bundled sets call it
    if "target" not in options:
        there = f"; the columns are {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}" if known else ""
        raise SpecError(f"%nn_preprocess needs --target, the column to predict{there}")
    from nnlab.core.data.prepare import prepare
    from nnlab.report.bundle import prepared_bundles

    data = prepare(frame, spec=resolve(PrepareSpec, options))
    if said.subject is not None and said.subject.text.isidentifier():
        name = said.subject.text  # reports speak of df, not of a DataFrame
        data = replace(data, name=name, folds=tuple(replace(fold, name=name) for fold in data.folds))
    publish(prepared_bundles, data, said.muted)
    return data


@dataclass(frozen=True)
class _Ordered:
    """A training or a search as it was ordered. model: the user's own network, known by the name `variable` or by code.

    base: the spec that --from named. options: of the specs; own: of the magic. configured: options set elsewhere.
    """

    said: Call
    base: TrainSpec | None
    model: Any
    variable: str | None
    options: dict[str, Any]
    own: dict[str, Any]
    configured: set[str]

    @property
    def own_network(self) -> bool:
        return self.model is not None or self.said.body is not None

    def with_body(self, lab: "Lab", line: str) -> tuple[str, Any]:
        """The text that repeats the cell, and the network that its body makes; run when all options are checked."""
        code = self.said.body
        return self.text(line), self.model if code is None else run_body(lab.ip, code)

    def text(self, line: str) -> str:
        """The line with the cell's body, where it has one."""
        return line if self.said.body is None else f"%{line}\n{self.said.body.rstrip()}"


def ordered(lab: "Lab", said: Call, names: Names) -> _Ordered:
    subjects.register_own(said.options, names)
    base = _start(said.options.get("from"), names)
    model, variable = network_said(said, names, base)
    said = replace(said, options={k: v for k, v in said.options.items() if k != "model" or variable is None})
    own_network = model is not None or said.body is not None
    options, own = settle(lab, said, based=base is not None, own_network=own_network)
    return _Ordered(said, base, model, variable, options, own, {name for layer in _layers(lab) for name in layer})


def _train(lab: "Lab", said: Call, names: Names) -> Any:
    if said.options.get("resume") is not None:
        return resuming.go_on(lab, said, names, _store())
    if repeat := repeating.deed(said):
        return repeat(lab, said, names, _store())
    data = subjects.prepared(said.subject, names, said.verb.name)
    from nnlab.core.fit import fit  # imports torch, which a wrong subject need not wait for
    from nnlab.core.lr_range import found_lr, lr_range
    from nnlab.core.plan import plan
    from nnlab.core.playground import asked_ground
    from nnlab.core.recipe import recipe_for
    from nnlab.report.ahead import lr_range_bundles, plan_bundles
    from nnlab.report.playground import bundles_over

    order = ordered(lab, said, names)
    finding = found_lr(order.options)
    options = {option: value for option, value in order.options.items() if option != finding}
    chosen = None if order.base or order.own_network else recipe_for(data, order.options)
    spec = train_spec(options, order.base or chosen, order.own_network)

    def line_of(spec: TrainSpec) -> str:
        off = {word: False for word in SWITCHES if not order.own[word]}
        extra = {"name": order.own["name"], "model": order.variable, **off}
        extra |= {word: order.own[word] or None for word in ("calibrate", "playground")}
        return _line(order.said, names, (spec,), extra, order.configured)

    line, model = order.with_body(lab, line_of(spec))
    if order.own["preview"]:
        return publish(lambda course: plan_bundles(course, line), plan(spec, len(data.train)), said.muted)
    if finding or order.own["find_lr"]:
        tested = lr_range(data, spec=spec, model=model)
        spec = resolve(TrainSpec, {"lr": tested.rounded}, spec) if tested.best else spec
        line = order.text(line_of(spec))
        publish(lambda found: lr_range_bundles(found, line), tested, said.muted)
        if order.own["find_lr"]:
            return tested
    told = {word: order.own[word] for word in ("name", *SWITCHES, "calibrate", "checkpoint_seconds", "log_to")}
    work = partial(fit, data, spec=spec, model=model, line=line, code=said.body, chosen=chosen, **told)
    ground, known = asked_ground(data, order.own["playground"], spec), (line, data.fingerprint)
    training = Training(work, lambda run: bundles_over(run, line, data, ground), beside(data.fingerprint, ground))
    return background.carried(lab, said, order.own, known, training)


def _tune(lab: "Lab", said: Call, names: Names) -> Any:
    if said.options.get("resume") is not None:
        return _resume_study(lab, said, names)
    data = subjects.prepared(said.subject, names, said.verb.name)
    from nnlab.core.tune.header import without_password
    from nnlab.core.tune.search import tune
    from nnlab.report.bundle import study_bundles

    order = ordered(lab, said, names)
    searching = options_of(TuneSpec, order.options)
    fixed = {name: value for name, value in order.options.items() if name not in searching}
    spec = resolve(TuneSpec, {name: value for name, value in order.options.items() if name in searching})
    start = train_spec(fixed, order.base, order.own_network)
    extra = {"model": order.variable, "frame": order.own["frame"]}
    line = _line(order.said, names, (without_password(spec), start), extra, order.configured | set(fixed))
    line, model = order.with_body(lab, line)
    frame = subjects.frame_of(data, order.own["frame"], names)
    given = start if order.own_network else order.base  # an own network's name is no option that could be kept fixed

    def work(view: View, controls: Controls) -> Any:
        told: dict[str, Any] = {"view": view, "controls": controls, "code": said.body, "frame": frame}
        told |= {} if model is None else {"model": model}
        return tune(data, spec=spec, base=given, **told, **fixed)

    def bundles_of(study: Any) -> list[Bundle]:
        table = str(order.own["frame"] or data.source or data.name)
        best = _best_line(study, order.said, names, order.configured, table) if model is None else None
        return study_bundles(study, line, best)

    return under_view(lab, order.own["view"], said.muted, "tune", work, bundles_of)


def _resume_study(lab: "Lab", said: Call, names: Names) -> Any:
    header = tuning.meant(said, names, _store())
    _, own = settle(lab, said, based=True)
    model, _ = network_said(said, names, None)
    tuning.check_network(header, own_network=model is not None or said.body is not None)
    model = model if said.body is None else run_body(lab.ip, said.body)
    work = tuning.work(said, names, header, model)
    from nnlab.report.bundle import study_bundles

    def bundles_of(study: Any) -> list[Bundle]:
        variable = tuning.variable_of(header.data, names) or "data"
        named = said if said.subject else replace(said, words=(Word(((variable, ""),)),))
        table = str(own["frame"] or header.source)
        return study_bundles(study, None, _best_line(study, named, names, set(), table) if model is None else None)

    return under_view(lab, own["view"], said.muted, "tune", work, bundles_of)


def _best_line(study: "Study", said: Call, names: Names, configured: set[str], table: str) -> str | None:
    """What trains the best spec of a study again, with its preparation where that was searched; None: there is none."""
    if study.best_score is None:
        return None
    line = _line(replace(said, verb=VERBS["nn_train"]), names, (study.best,), {}, configured)
    if study.best_prepare in (None, study.header.prepare):
        return line
    variable = said.subject.text if said.subject and said.subject.text.isidentifier() else "data"
    return f"{variable} = {to_line('nn_preprocess', table, study.best_prepare)}\n{line}"


def train_spec(options: Mapping[str, Any], base: TrainSpec | None, own_network: bool) -> TrainSpec:
    if not own_network:
        return resolve(TrainSpec, options, base)
    return resolve(TrainSpec, options, replace(base, model=Part(CUSTOM)) if base else OWN_NETWORK)


def network_said(said: Call, names: Names, base: TrainSpec | None) -> tuple[Any, str | None]:
    """The user's own network and its name if --model names a variable; else None. A body is not run yet."""
    word = said.options.get("model")
    if said.body is not None:
        if word is not None:
            raise SpecError(f"the body defines the network; take --model {word} away")
        return None, None
    if word is None:
        if base is not None and base.model.name == CUSTOM:
            raise SpecError(f"--from: its network is your own code; give it again as the body of %%{said.verb.name}")
        return None, None
    if isinstance(word, str) and word in MODELS:
        return None, None
    if isinstance(word, str) and word not in names:
        known = ", ".join(MODELS)
        raise SpecError(f"--model {word}: neither a network of nnlab ({known}) nor a variable that holds one")
    value = names[word] if isinstance(word, str) else word
    if not (subjects.is_network(value) or callable(value)):
        raise SpecError(
            f"--model {word} is {with_article(subjects.described(value))}; needed is an nn.Module or what makes one"
        )
    return value, str(word)


def _line(said: Call, names: Names, specs: tuple[Any, ...], extra: Mapping[str, Any], keep: set[str]) -> str:
    """The text that repeats the call, its subject as it was written."""
    subject = said.subject or Word(())
    if isinstance(text := value_of(subject, names), str) and text != subject.text:
        subject = Word(((text, ""),))
    return to_line(said.verb.name, subject, *specs, extra=extra, keep=keep)


def _start(word: Any, names: Names) -> TrainSpec | None:
    """The spec that --from names: of a variable, else of a run or study of the store."""
    if word is None:
        return None
    value: Any = names.get(word) if isinstance(word, str) else word
    if isinstance(value, TrainSpec):
        return value
    if subjects.is_a(value, ("nnlab", "Study")):
        return value.best  # type: ignore[no-any-return]
    if subjects.is_a(value, ("nnlab", "Run")):
        return value.spec  # type: ignore[no-any-return]
    try:
        return _stored_start(str(plain(word, "--from")))
    except NNLabError as error:
        if value is None:
            raise
        what = with_article(subjects.described(value))
        raise SpecError(f"--from {word} is {what}; needed is a study, a run or a TrainSpec") from error


def _stored_start(word: str) -> TrainSpec:
    store = _store()
    if word in store.studies():
        from nnlab.core.tune.study import Study

        return Study.load(store.study_folder(word)).best
    try:
        info = store.find(word)
    except StoreError as error:
        raise SpecError(f"--from {word}: no such variable, and {error}") from error
    if info.spec is None:
        raise StoreError(f"--from {word}: the run is broken: {info.message}")
    return info.spec


def _runs(lab: "Lab", said: Call, names: Names) -> Any:
    _, own = settle(lab, said)
    return listing.runs(lab, said, own, names, _store())


def _diff(lab: "Lab", said: Call, names: Names) -> Any:
    return listing.difference(said, names, _store())


def _load(lab: "Lab", said: Call, names: Names) -> "Run | Study":
    _, own = settle(lab, said)
    return stored_run_or_study(said, own["model"], names)


def _diagnose(lab: "Lab", said: Call, names: Names) -> Any:
    _, own = settle(lab, said)
    run = any_run(said, own["model"], names)
    from nnlab.core.diagnose.doctor import diagnose
    from nnlab.magics.doctor import data_of, mending_lines
    from nnlab.report.diagnosis import diagnosis_bundles

    data, variable = data_of(run, own["data"], names)
    found = diagnose(run, data, learning_curve=own["learning_curve"], model=network_of(own["model"], names))
    lab.later[found] = lambda found: diagnosis_bundles(found, mending_lines(found, variable))
    publish(lab.later[found], found, said.muted)
    return found


def _evaluate(lab: "Lab", said: Call, names: Names) -> Any:
    _, own = settle(lab, said)
    return evaluating.evaluate(lab, said, own, names)


def _report(lab: "Lab", said: Call, names: Names) -> None:
    _, own = settle(lab, said)
    reporting.write_report(said, own, names, _store())


def _config(lab: "Lab", said: Call, names: Names) -> None:
    from nnlab.report.tables import Table

    store = _store()
    given = dict(said.options)
    reset = said.verb.own["reset"].read(given.pop("reset", False))
    if reset or given:
        kept = {} if reset else dict(lab.settings.defaults)
        lab.settings.defaults = kept | config.checked(given, "%nn_config")
    rows = config.shown(said.verb, config.layers(store.root, lab.settings), lab.ip)
    publish(lambda table: [page([table])], Table(("option", "default", "from"), rows, align="lll"), said.muted)


def _panel(lab: "Lab", said: Call, names: Names) -> None:
    from nnlab.magics.panel import show_panel

    _, own = settle(lab, said)
    show_panel(lab, said, own)


DEEDS: dict[str, Callable[["Lab", Call, Names], Any]] = {
    "nn_preprocess": _preprocess,
    "nn_train": _train,
    "nn_tune": _tune,
    "nn_runs": _runs,
    "nn_diff": _diff,
    "nn_load": _load,
    "nn_stop": background.stop,
    "nn_attach": background.attach,
    "nn_diagnose": _diagnose,
    "nn_evaluate": _evaluate,
    "nn_report": _report,
    "nn_config": _config,
    "nn_panel": _panel,
}
