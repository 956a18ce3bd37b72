"""Numbers and nouns that go together."""


def counted(count: int, noun: str, nouns: str = "") -> str:
    """1 run, 1,200 runs. nouns: of more than one, where that is no noun with an s.

    >>> counted(1, "row"), counted(1200, "row"), counted(0, "class", "classes")
    ('1 row', '1,200 rows', '0 classes')
    """
    return f"{count:,} {agreeing(count, noun, nouns or f'{noun}s')}"


def agreeing(count: int, one: str, many: str) -> str:
    """The word for one, or that for many.

    >>> f"3 of 5 rows {agreeing(3, 'is', 'are')} left out"
    '3 of 5 rows are left out'
    """
    return one if count == 1 else many
