"""Steps of a stack on the CPU as compiled code: what torch does in some dozens of calls is one call.

Nothing else changes: a step is bound as ever, to torch's functions on fixed tensors, and those that `ops` knows become
operations of a program (`kernels.c`), which `library` compiles once on a machine where there is a compiler of C.
"""
