"""What a study is about, as study.json holds it: how it searches, what, around which run, and on which data."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.core.errors import StoreError
from nnlab.core.params import show_value
from nnlab.core.spec import PrepareSpec, TrainSpec, TuneSpec, from_json, to_json
from nnlab.core.store.commit import commit_of
from nnlab.core.store.files import read_json, write_file, write_json
from nnlab.core.store.folder import versions
from nnlab.core.tune.grammar import plain
from nnlab.core.tune.light import light
from nnlab.core.tune.pbt import last_values
from nnlab.core.tune.ranges import Space, Value, holding, typed_values
from nnlab.core.tune.ranges import from_json as range_from_json
from nnlab.core.tune.space import held_values, spec_with

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FORMAT = 1
HEADER = "study.json"
NO_MATTER = ("device", "threads")  # fields of the base that do not change what is searched
RANKED = "ranked"  # the attribute of a study that holds architectures and their scores with shared weights
OUTSIDE = "outside"  # the attribute of a first trial that is no point of the space, of which the sampler learns nothing


@dataclass(frozen=True)
class Header:
    """What a study is about, as study.json holds it. data: the fingerprint of the prepared data; source: its name;
    prepare: how it was prepared; first: the spec of the first trial, where it is not the base; directions: of the
    objectives, where they are said; members: of a trial's network, where they are fewer than those of its run."""

    name: str
    spec: TuneSpec
    base: TrainSpec
    space: Space
    data: str
    source: str
    metric: str
    maximize: bool
    prepare: PrepareSpec | None = None
    first: TrainSpec | None = None
    directions: tuple[bool, ...] = ()
    members: int | None = None

    @property
    def upwards(self) -> tuple[bool, ...]:
        """For each objective, whether more is better; of a single score too."""
        return self.directions or (self.maximize,)

    @property
    def several(self) -> bool:
        """Whether there is more than one objective."""
        return len(self.directions) > 1

    def write(self, folder: Path) -> None:
        """Put the header into the study's folder; StoreError if that cannot be."""
        texts = {"name": self.name, "data": self.data, "source": self.source, "metric": self.metric}
        specs = {"spec": to_json(without_password(self.spec)), "base": to_json(self.base)}
        more = {"prepare": self.prepare, "first": self.first}
        specs |= {name: to_json(one) for name, one in more.items() if one}
        space = {name: allowed.to_json() for name, allowed in self.space.items()}
        directions = {"directions": list(self.directions)} if self.directions else {}
        members = {"members": self.members} if self.members else {}
        value = {"format": FORMAT, **texts, "maximize": self.maximize, **directions, **members, **specs, "space": space}
        made_by = {"versions": versions(), "commit": commit_of(Path.cwd())}
        try:
            write_json(folder / HEADER, value | {"fingerprint": self.fingerprint} | made_by)
        except OSError as error:
            why = error.strerror or error
            raise StoreError(f"the study cannot be kept in {folder}: {why}; give another store") from error

    @contextlib.contextmanager
    def written(self, folder: Path) -> Iterator[None]:
        """The header stands in the folder; where what follows fails, what stood there before comes back."""
        place = folder / HEADER
        before = place.read_bytes() if place.exists() else None
        self.write(folder)
        try:
            yield
        except Exception:
            place.unlink(missing_ok=True) if before is None else write_file(place, before)
            raise

    @classmethod
    def read(cls, folder: Path) -> "Header":
        """The header in a study's folder; StoreError if it is missing, damaged or newer than this nnlab."""
        value = read_json(folder / HEADER)
        if value.get("format") != FORMAT:
            raise StoreError(f"{folder.name}/{HEADER}: format {value.get('format')}; this nnlab reads {FORMAT}")
        try:
            space = {name: range_from_json(one) for name, one in value["space"].items()}
            spec, base = from_json(TuneSpec, value["spec"]), from_json(TrainSpec, value["base"])
            data, source, metric = (str(value[name]) for name in ("data", "source", "metric"))
            prepare = from_json(PrepareSpec, value["prepare"]) if "prepare" in value else None
            first = from_json(TrainSpec, value["first"]) if "first" in value else None
            directions = tuple(bool(one) for one in value.get("directions", ()))
            members = int(value["members"]) if "members" in value else None
            about = (data, source, metric, bool(value["maximize"]), prepare, first, directions, members)
            return cls(str(value["name"]), spec, base, space, *about)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{folder.name}/{HEADER} cannot be used: {error}") from error

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of data, base, space, folds and members: studies that agree in it can share their trials."""
        base = {name: value for name, value in to_json(self.base).items() if name not in NO_MATTER}
        space = {name: str(allowed) for name, allowed in self.space.items()}
        folds = [self.spec.folds] if self.spec.folds else []  # other scores
        members = [{"members": self.members}] if self.members else []
        more = [*folds, *self.spec.objectives, *members]
        return hashlib.sha256(json.dumps([self.data, base, space, *more], sort_keys=True).encode()).hexdigest()

    def first_values(self) -> dict[str, Value]:
        """The values of searched names that the first trial has, in their ranges or not."""
        values = held_values(self.space, self.first or self.base)
        return holding(values | (held_values(self.space, self.prepare) if self.prepare else {}), self.space)

    def holds_first(self) -> bool:
        """Whether a trial of the space can be the first one."""
        values = self.first_values()
        same = self.first is None or spec_with(values, self.base) == self.first
        return same and bool(values) and all(value in self.space[name] for name, value in values.items())

    def values_of(self, trial: "FrozenTrial | optuna.Trial") -> dict[str, Value]:
        """The values of the searched names that a trial has."""
        return self.first_values() if OUTSIDE in trial.user_attrs else typed_values(self.space, trial.params)

    def trained_by(self, trial: "FrozenTrial | optuna.Trial") -> TrainSpec:
        """What a trial trains: its run with the members that a trial has."""
        return light(self.spec_of(trial), self.members)

    def is_whole(self, spec: TrainSpec) -> bool:
        """Whether a trial trains this run with all of its members."""
        return light(spec, self.members) == spec

    def spec_of(self, trial: "FrozenTrial | optuna.Trial") -> TrainSpec:
        """The run that a trial stands for, with all of its members."""
        if OUTSIDE in trial.user_attrs:
            return spec_with(self.first_values(), self.first or self.base)  # itself, its searched values said
        inherited = last_values(trial.user_attrs.get("result", {}).get("inherited", ()))
        return spec_with(self.values_of(trial) | inherited, self.base)

    def differences(self, other: "Header") -> list[str]:
        """In words, what of data, base and space is not as in the other header."""
        found = []
        if self.data != other.data:
            found.append(f"the data ({other.source} {other.data[:8]}, now {self.source} {self.data[:8]})")
        if self.spec.folds != other.spec.folds:
            found.append(f"the folds ({other.spec.folds or 'none'}, now {self.spec.folds or 'none'})")
        if self.spec.objectives != other.spec.objectives:
            names = [", ".join(one.spec.objectives) or one.metric for one in (other, self)]
            found.append(f"the objectives ({names[0]}, now {names[1]})")
        if self.members != other.members:
            found.append(f"the members of a trial ({other.members or 'all'}, now {self.members or 'all'})")
        before, now = _flat(other.base), _flat(self.base)
        found += _changed(before, now)
        before = {name: str(allowed) for name, allowed in other.space.items()}
        now = {name: str(allowed) for name, allowed in self.space.items()}
        return found + [f"the space, {words}" for words in _changed(before, now)]


def _flat(base: TrainSpec) -> dict[str, str]:
    """Fields and the values of their parts as texts."""
    texts = {}
    for name, value in to_json(base).items():
        if name in NO_MATTER:
            continue
        texts[name] = value["name"] if isinstance(value, dict) else show_value(plain(getattr(base, name)))
        if isinstance(value, dict):
            texts |= {f"{name}.{inner}": str(one) for inner, one in value["values"].items()}
    return texts


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} ({before.get(name, 'not there')}, now {now.get(name, 'not there')})" for name in names]


def without_password(spec: TuneSpec) -> TuneSpec:
    """The spec as it is written down and shown: the password of its database is not."""
    if spec.storage is None:
        return spec
    from nnlab.core.tune.shared import without_password as shown

    return replace(spec, storage=shown(spec.storage))
