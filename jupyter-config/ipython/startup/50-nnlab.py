# nnlab autoload: put here by `nnlab autoload on`, taken away by `nnlab autoload off`; it may be deleted by hand.
def _nnlab_autoload(shell):
    """Nothing that goes wrong here may keep a kernel from starting, or another startup file from running."""
    import importlib.util
    import sys

    try:
        if importlib.util.find_spec("nnlab") is not None:  # an environment without it is no fault
            import nnlab

            nnlab.load_ipython_extension(shell)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        print(f"nnlab could not be loaded ({reason}); `nnlab autoload off` ends the attempt", file=sys.stderr)


_nnlab_autoload(get_ipython())  # noqa: F821  # IPython runs this file with its own names
del _nnlab_autoload
