"""K networks of one shape at once: forward and backward by hand, in buffers that are made once.

buffers: where numbers lie. layers, losses: forward and backward. streams: random masks. updates: steps of the weights.
engine: one training step. learner: the protocol of the loop on top of it.
"""
