"""What the live view costs: CPU time of `%nn_train` with it over that with `--view none`, paired, in one kernel.

    python tests/benchmarks/view_cost.py [--rows 50000] [--epochs 20] [--pairs 7] [--words "--playground pca"]

The kernel believes that a front end with a person is there, so widgets, messages and drawing are the real ones; both
sides show the static output at the end. One thread. Prints the median over pairs of live / none.
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from jupyter_client.manager import start_new_kernel

CELL = """
import statistics, tempfile, time, os
import numpy as np
os.environ["NNLAB_HOME"] = tempfile.mkdtemp()
%load_ext nnlab
import nnlab
draw = np.random.default_rng(0)
x = draw.standard_normal(({rows}, 50), dtype=np.float32)
y = (np.tanh(x @ draw.standard_normal((50, 16)) / 5) @ draw.standard_normal((16, 3))).argmax(1)
data = nnlab.prepare((x, y), task="multiclass", scale="none", test=0.0, valid=0.2)

def spent(view):
    cpu, wall = time.process_time(), time.perf_counter()
    words = "data --hidden 128-64 --epochs {epochs} --patience none {words}"
    get_ipython().run_line_magic("nn_train", f"{{words}} --view {{view}}")
    return time.process_time() - cpu, time.perf_counter() - wall

spent("live"), spent("none")  # imports
pairs = []
for number in range({pairs}):
    first = spent("live" if number % 2 else "none")
    second = spent("none" if number % 2 else "live")
    live, none = (first, second) if number % 2 else (second, first)
    pairs.append((live[0] / none[0], live[1] / none[1], none[0]))
cpu, wall, base = (statistics.median(column) for column in zip(*pairs))
each = [round(pair[0], 3) for pair in pairs]
print("RESULT", f"live / none: CPU time x {{cpu:.3f}}, wall x {{wall:.3f}}; CPU pairs {{each}}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--words", default="", help="more words of the line, on both sides")
    asked = parser.parse_args()
    manager, client = start_new_kernel()
    try:
        client.execute(CELL.format(**vars(asked)), allow_stdin=True)
        while True:
            message = client.get_iopub_msg(timeout=600)
            kind, content = message["msg_type"], message["content"]
            if kind == "error":
                raise SystemExit("\n".join(content["traceback"]))
            if kind == "stream" and "RESULT" in content["text"]:
                result = content["text"].partition("RESULT ")[2]
                print(f"{asked.rows} x 50, {asked.epochs} epochs, {asked.pairs} pairs {asked.words}; {result}")
                return
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
