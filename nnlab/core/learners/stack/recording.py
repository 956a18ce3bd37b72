"""Calls on fixed tensors as one: on CUDA a graph that is recorded once and replayed, which saves their launches."""

from collections.abc import Sequence

import torch

from nnlab.core.device import out_of_memory
from nnlab.core.learners.stack.products import Call

WARM = 3  # times that calls run as they are before they are recorded, so that libraries have set themselves up


class Recorder:
    """Makes one call of many. generators: those that the calls draw from. notes: what the user should know."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = generators
        self.notes: list[str] = []

    def record(self, calls: Sequence[Call]) -> Call:
        """A call that does what the calls do, one after the other, on tensors that stay where they are."""
        return Graph(calls, self)


class Graph:
    """Calls as a CUDA graph from their fourth time on; as they are where they cannot be recorded."""

    def __init__(self, calls: Sequence[Call], recorder: Recorder) -> None:
        self._calls, self._recorder = calls, recorder
        self._made: torch.cuda.CUDAGraph | None = None
        self._times = 0

    def __call__(self) -> None:
        if self._times == WARM and not self._recorder.notes:
            self._made = self._recorded()
        self._times += 1
        if self._made is not None:
            self._made.replay()
            return
        for call in self._calls:
            call()

    def _recorded(self) -> "torch.cuda.CUDAGraph | None":
        try:
            graph = torch.cuda.CUDAGraph()
            for generator in self._recorder.generators:
                graph.register_generator_state(generator)
            # Only what this thread does may spoil the recording: the kernel of a notebook has others.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                for call in self._calls:
                    call()
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            why = str(error).strip().partition("\n")[0]
            self._recorder.notes.append(f"steps are not recorded as a CUDA graph ({why:.160})")
            return None
        return graph
