"""The registry of architectures; each entry is called as make(n_in, n_out, **values) and gives an nn.Module.

Facts: defaults: fields of a run as the model wants them, in place of the run's own. searched: ranges for a search, by
option (optimizer.lr, lr_embedding). space: entries of a search's space that say more, by task: "", classes, regression.
columns=True: it is called with `Inputs` in place of n_in, and sees to embeddings itself. members: in training it gives
(rows, members, n_out); members have their weights "apart", or "shared".
"""

from nnlab.core.registry import Registry

MODELS = Registry("model")
