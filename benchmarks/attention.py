"""How fast is our causal attention beside torch's fused one? It prints milliseconds a pass.

    python benchmarks/attention.py [--repeats 5] [--json FILE]

A pass is forward and backward, in float32, or in bfloat16 as training does it: under autocast, with
q and k that their rotation made float32. Medians over the repeats. The last line is the sum of our
times over the sum of torch's, in the sizes that training uses: below 1 ours is faster.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grpo_step import close

from r1book.network import attend

SIZES = ((16, 4, 192, 32), (8, 4, 336, 32), (2, 4, 512, 32), (1, 4, 1024, 32))
"""(B, H, T, d): trunk, anneal and RL rows of the laptop preset, the last short, a long one."""
TRAINING = SIZES[:2]


def fused(q, k, v):
    """Return torch's causal attention."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def milliseconds(function, size, dtype, repeats: int) -> float:
    """Return the median time of a forward and a backward pass."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(size, generator=generator).requires_grad_() for _ in range(3))
    gradient = torch.randn(size, generator=generator).to(dtype)  # (B, H, T, d)
    half = dtype != torch.float32
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = function(q, k, v.to(dtype))  # (B, H, T, d)
        out.backward(gradient)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:])  # the first one warms up


def measure(repeats: int) -> list[dict]:
    """Return one row for each size and precision."""
    rows = []
    for size in SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            ours, theirs = (milliseconds(f, size, dtype, repeats) for f in (attend, fused))
            name = str(dtype).removeprefix("torch.")
            rows.append({"size": size, "dtype": name, "attend_ms": ours, "torch_ms": theirs})
    return rows


def ratio(rows: list[dict]) -> float:
    """Return our time over torch's, in the sizes that training uses."""
    used = [row for row in rows if row["size"] in TRAINING]
    return sum(row["attend_ms"] for row in used) / sum(row["torch_ms"] for row in used)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="passes behind each median")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    rows = measure(options.repeats)
    print(f"{'(B, H, T, d)':20} {'precision':10} {'attend':>10} {'torch':>10}")
    for row in rows:
        size = str(row["size"])
        print(f"{size:20} {row['dtype']:10} {row['attend_ms']:7.2f} ms {row['torch_ms']:7.2f} ms")
    says = "seconds of our causal attention over those of torch's fused one"
    close("attention", options.json, ratio(rows), says, rows=rows)


if __name__ == "__main__":
    main()
