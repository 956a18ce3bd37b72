"""Defaults of the user: the store's config.toml below, `%config NNLab` above."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Dict
from traitlets.config import Configurable

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.magics.front_end import front_end

if TYPE_CHECKING:
    from nnlab.magics.verbs import Verb

FILE = "config.toml"


class NNLab(Configurable):
    """Settings of nnlab in this session, shown and set by %config NNLab."""

    defaults = Dict(help="Default values of options, as in {'epochs': 20, 'optimizer': 'sgd'}.").tag(config=True)


def layers(root: Path, settings: NNLab) -> dict[str, dict[str, Any]]:
    """Default values by their source, lowest first, all checked; SpecError names the source of what cannot be used."""
    path = root / FILE
    return {str(path): checked(_file(path), str(path)), "%config NNLab": checked(settings.defaults, "%config NNLab")}


def _file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}") from error
    try:
        return _flat(tomllib.loads(text).get("defaults", {}))
    except (tomllib.TOMLDecodeError, AttributeError, RecursionError) as error:
        raise SpecError(f"{path} is not TOML with a table [defaults]: {error}") from error


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """[defaults.optimizer] lr = 0.1 is optimizer.lr = 0.1."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": item for inner, item in value.items()}
        else:
            found[name] = value
    return found


def checked(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The values by their options' names; SpecError for a name that no magic has and a value out of range."""
    known = _known() if values else {}  # what takes longer than all else that a magic does before its work
    found = {}
    for given, value in values.items():
        name = str(given).replace("-", "_")
        if name == "name":
            raise SpecError(f"{source}: name is no default; each run and study has its own: give --name to its magic")
        if name not in known:
            raise SpecError(f"{source}: no option {name!r}{did_you_mean(name, known)}")
        errors = []
        for param in known[name]:
            try:
                param.read(value)
            except SpecError as error:
                errors.append(error)
        if len(errors) == len(known[name]):
            raise SpecError(f"{source}: {errors[0]}") from errors[0]
        found[name] = value
    return found


def _known() -> dict[str, list[Any]]:
    """The parameters that an option name can mean, whichever parts are chosen."""
    from nnlab.core.options import options_of
    from nnlab.core.params import params_of
    from nnlab.core.registry import Part
    from nnlab.magics.verbs import VERBS, options_for

    verb = VERBS["nn_config"]
    found: dict[str, list[Any]] = {name: [option.param] for name, option in options_for(verb).items()}
    for spec in verb.specs:
        for field, param in params_of(spec).items():
            if param.kind is Part and not param.many:
                for part in param.domain:
                    for name, option in options_of(spec, {field: part}).items():
                        found.setdefault(name, []).append(option.param)
    return found


def shown(verb: "Verb", sources: Mapping[str, Mapping[str, Any]], ip: Any = None) -> list[tuple[str, str, str]]:
    """Each default as (option, value, source), given the parts that the defaults choose. ip: whose front end it is."""
    from nnlab.core.recipe import words_of_recipe
    from nnlab.magics.text import layered
    from nnlab.magics.verbs import canonical, default_of, options_for

    chosen = layered(verb, sources.values(), {})
    words_of = {"model": words_of_recipe(), "view": _words_of_view(ip)}
    rows = []
    for name, option in options_for(verb, chosen).items():
        if "." in name or name in ("reset", "target", "name"):
            continue
        key = canonical(verb, name, chosen)
        value, source, words = default_of(option), "nnlab", words_of.get(name, "")
        for label, layer in sources.items():
            for given, raw in layer.items():
                if given in chosen and canonical(verb, given, chosen) == key:
                    value, source, words = option.param.read(raw), label, ""
        rows.append((name.replace("_", "-"), words or option.param.show(value), source))
    return rows


def _words_of_view(ip: Any) -> str:
    front = front_end(ip)
    return f"auto: {front.view} in {front.name}" + (f", as {front.why}" if front.why else "")
