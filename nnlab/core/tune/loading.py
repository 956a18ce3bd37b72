"""What a word means in the store: a run, or the study of that name."""

from typing import TYPE_CHECKING

from nnlab.core.errors import StoreError
from nnlab.core.models.custom import Maker
from nnlab.core.store.runs import Store
from nnlab.core.tune.study import Study

if TYPE_CHECKING:
    from nnlab.core.run import Run


def run_or_study(word: str, model: Maker = None, store: Store | None = None) -> "Run | Study":
    """The run that word means (last, a number, an id, a name); where there is none, the study that is called so.

    model: the network, if it was your own. StoreError says what is near."""
    store = store or Store()
    try:
        return store.load(word, model)
    except StoreError:
        if word not in store.studies():
            raise
        return Study.load(store.study_folder(word), model)
