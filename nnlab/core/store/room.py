"""Whether the disk has room for a run, asked before it begins."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.core.errors import StoreError

if TYPE_CHECKING:
    from torch import nn

COPIES = 3  # the two newest checkpoints, and the one that is being written
MOMENTS = 2  # numbers that most optimizers keep for each weight
SPARE = 1_000_000  # bytes for all else


def check_room(root: Path, model: "nn.Module") -> None:
    """StoreError where a store in this folder could not keep the checkpoints of a run of the network."""
    tensors = (*model.parameters(), *model.buffers())
    needed = COPIES * (1 + MOMENTS) * sum(tensor.nbytes for tensor in tensors) + SPARE
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # a disk that tells nothing may have room
        return
    if free < needed:
        raise StoreError(
            f"disk full: the run needs {needed / 1e6:.1f} MB for its weights and checkpoints, {free / 1e6:.1f} MB are "
            f"free at {place}; make room, or keep runs elsewhere: NNLAB_HOME, or store= in Python"
        )
