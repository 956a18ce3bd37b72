"""Updates that torch does not have, as torch.optim.Optimizer classes; nnlab.core.optimizers registers them."""
