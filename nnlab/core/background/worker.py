"""The child's side: one run is read from standard input, its events go out through what was standard output."""

import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from nnlab.core.background import wire


def main() -> None:
    """Do the work that comes through the pipe. What the user's code prints goes to standard error."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    coming = wire.frames(sys.stdin.buffer)
    parcel = next(coming, None)
    if parcel is None:
        return
    say = _speaker(out)
    try:
        ended = wire.Ended(run=_done(wire.unpacked(parcel), coming, say))
    except BaseException as error:
        ended = wire.Ended(error=error)
    say(ended)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # Python's own end would wait for the thread that reads, and for what torch tidies up


def _done(parcel: wire.Parcel, coming: Iterator[bytes], say: Callable[[Any], None]) -> Any:
    import torch

    from nnlab.core.controls import Controls
    from nnlab.core.events import EpochDone, Event, Lookable, Resumable
    from nnlab.core.playground import Looker

    torch.set_num_threads(parcel.threads)
    wire.put_entries(parcel.entries)
    linecache.cache.update(parcel.sources)
    controls = Controls()
    looker = Looker(controls)
    threading.Thread(target=_obey, args=(coming, controls), daemon=True).start()

    def view(event: Event) -> None:
        if isinstance(event, EpochDone):
            say(event.light())
        elif isinstance(event, Lookable):  # the network stays here, what is seen of it goes out
            looker(event, say)
        elif not isinstance(event, Resumable):
            say(event)

    return parcel.work(view=view, controls=controls)


def _obey(coming: Iterator[bytes], controls: Any) -> None:
    """Pass the words of the parent on. Where it is gone nobody waits for the run: it ends, and can be resumed."""
    for data in coming:
        order: wire.Order = wire.unpacked(data)
        getattr(controls, order.method)(*order.given)
    controls.stop("interrupted")


def _speaker(out: BinaryIO) -> Callable[[Any], None]:
    """Sends a value to the parent, as long as it listens."""
    listening = True

    def say(value: Any) -> None:
        nonlocal listening
        if not listening:
            return
        try:
            out.write(wire.packed(value))
            out.flush()
        except OSError:
            listening = False

    return say
