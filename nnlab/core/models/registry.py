"""The registry of architectures; each entry is called as make(n_in, n_out, **values) and gives an nn.Module."""

from nnlab.core.registry import Registry

MODELS = Registry("model")
