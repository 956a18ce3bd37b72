"""Levels that differ only in how they are written: case, blanks, accents, punctuation."""

import re
import unicodedata
from collections.abc import Mapping

import numpy as np

from nnlab.core.data.columns import Column

JOINTS = re.compile(r"(?<=[^\W\d_])[\s\-_./,'’&]+(?=[^\W\d_])")  # between letters: '-1' and '1', 'A-' and 'A' differ
EDGES = " \t.,;:!'\"_"


def plain_level(level: str) -> str:
    """A level without case, accents, and without blanks and punctuation at its ends and between letters."""
    if not level.isascii():
        level = "".join(mark for mark in unicodedata.normalize("NFKD", level) if not unicodedata.combining(mark))
    return JOINTS.sub("", level.casefold().strip(EDGES))


def usual_levels(column: Column, train: np.ndarray) -> dict[str, str]:
    """For each plain level the way that most training rows write it (of equals the first); other rows do not count."""
    codes = column.data[train]
    rows = np.bincount(codes[codes >= 0], minlength=len(column.levels))
    found: dict[str, str] = {}
    for code in np.argsort(-rows, kind="stable"):
        if rows[code] and (plain := plain_level(column.levels[code])):
            found.setdefault(plain, str(column.levels[code]))
    return found


def rewritten(levels: np.ndarray, usual: Mapping[str, str]) -> np.ndarray:
    """Levels as they are usually written; those that training rows do not have stay as they are."""
    return np.array([usual.get(plain_level(level), level) for level in levels], object)


def merged(column: Column, usual: Mapping[str, str]) -> Column:
    """The column of levels with equal ones made one."""
    places: dict[str, int] = {}
    table = [places.setdefault(level, len(places)) for level in rewritten(column.levels, usual)]
    codes = np.array([*table, -1], np.int32)[column.data]  # code -1 reads the last entry
    return Column(column.name, "text", codes, np.array(list(places), object))
