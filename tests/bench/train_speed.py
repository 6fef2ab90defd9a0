"""Training speed beside PyTorch's: same machine, model, batches and number of threads.

    python3 tests/bench/train_speed.py [--cases masked,classify,causal] [--threads 1,2]
                                       [--dropout 0.1] [--rounds 5] [--seconds 3] [--json]

Small models with a vocabulary of 8192: BERT (4 layers, 256 wide, 4 heads) learning masked tokens in
windows of 128 and classes of sentences as long as SST-2's, GPT-2 alike learning the next token in
windows of 256. Data and weights are made up. Both sides make the whole step: forward, backward,
clipping, AdamW. They take turns, so that a busy machine slows both; a ratio is that of two turns
one after the other, and the table gives the median ratio and the range. PyTorch runs in whichever
of a few environments it is fastest in. Nothing is asserted about speed; without dropout both must
come to the same loss.

Seconds are wall-clock; where the machine was busy meanwhile (its load is printed), the ratio of
processor seconds, with one thread, says more. Needs PyTorch (Debian: python3-torch); without it exits with 77.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("FS_BUILD_DIR", HERE.parent.parent / "build"))
TRAINER = str(HERE / "torch_trainer.py")
CASES = ("masked", "classify", "causal")
LOSS_APART_MAX = 1e-3


class Side:
    """A process that trains when told so."""

    def __init__(self, command, folder, threads, dropout, env=()):
        self.process = subprocess.Popen(
            [*command, str(folder), str(threads), str(dropout)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, **dict(env)})
        self.env = dict(env)

    def run(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended early with {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def environments(threads):
    """Where PyTorch may be fastest: its own choice of instructions or all that the processor has,
    and, for more threads, OpenBLAS's threads as they are, not spinning, or left out."""
    flags = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    instructions = [{}]
    if "avx512bw" in flags:
        instructions.append({"ATEN_CPU_CAPABILITY": "avx512", "OPENBLAS_CORETYPE": "SkylakeX"})
    # Without these the large tensors of each step are given back to the system and asked for again.
    memory = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
    blas = [{**memory, "OPENBLAS_NUM_THREADS": str(threads)}]
    if threads > 1:
        blas += [{**blas[0], "OPENBLAS_THREAD_TIMEOUT": "10"}, {**memory, "OPENBLAS_NUM_THREADS": "1"}]
    return [{**i, **b} for i in instructions for b in blas]


def fastest_torch(folder, threads, dropout):
    """Starts PyTorch in each environment and keeps the fastest."""
    best, best_seconds = None, float("inf")
    clock = "cpu" if threads == 1 else "seconds"  # the one that neighbours disturb less
    for env in environments(threads):
        side = Side([sys.executable, TRAINER, "run"], folder, threads, dropout, env.items())
        side.run(1)
        # The better of two, since a neighbour may wake up.
        seconds = min(side.run(2)[clock] for _ in range(2))
        if seconds < best_seconds:
            if best is not None:
                best.close()
            best, best_seconds = side, seconds
        else:
            side.close()
    return best


def check_losses(folder):
    """The two sides do the same work: without dropout they come to the same loss."""
    ours = Side([str(BUILD / "tests" / "bench_train")], folder, 1, 0)
    torch = Side([sys.executable, TRAINER, "run"], folder, 1, 0)
    losses = [(ours.run(1)["loss"], torch.run(1)["loss"]) for _ in range(3)]
    ours.close()
    torch.close()
    for mine, theirs in losses:
        if not abs(mine - theirs) < LOSS_APART_MAX * theirs:
            raise SystemExit(f"different work: losses {losses} (FlipSweep, PyTorch)")
    return losses


def measure(folder, case, threads, options):
    ours = Side([str(BUILD / "tests" / "bench_train")], folder, threads, options.dropout)
    torch = fastest_torch(folder, threads, options.dropout)
    # One turn takes all batches a whole number of times, so that sides see the same lengths.
    ours.run(8)
    once = torch.run(8)
    steps = 8 * max(1, round(options.seconds / once["seconds"]))
    turns = [(ours.run(steps), torch.run(steps)) for _ in range(options.rounds)]
    ours.close()
    torch.close()
    ratios = [t["seconds"] / o["seconds"] for o, t in turns]
    return {
        "case": case, "threads": threads, "dropout": options.dropout, "steps": steps,
        "flipsweep_tokens_per_s": statistics.median(o["tokens"] / o["seconds"] for o, _ in turns),
        "pytorch_tokens_per_s": statistics.median(t["tokens"] / t["seconds"] for _, t in turns),
        "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
        "ratio_cpu": statistics.median(t["cpu"] / o["cpu"] for o, t in turns),
        "pytorch_environment": torch.env,
    }


def print_row(row):
    spread = f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
    where = " ".join(f"{k}={v}" for k, v in row["pytorch_environment"].items() if "MALLOC" not in k)
    print(f"{row['case']:9} {row['threads']:7} {row['flipsweep_tokens_per_s']:15.0f}"
          f" {row['pytorch_tokens_per_s']:13.0f} {row['ratio']:6.2f}  {spread:13}"
          f" {row['ratio_cpu']:9.2f}  {where}", flush=True)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--threads", default=",".join(
        str(t) for t in (1, 2) if t <= (os.cpu_count() or 1)))
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of one turn, about")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    options.threads = [int(t) for t in options.threads.split(",")]
    if not set(options.cases) <= set(CASES):
        parser.error(f"--cases: some of {', '.join(CASES)}")
    return options


def main():
    options = read_options()
    # Finds PyTorch under another interpreter if need be, or ends as skipped.
    sys.path.insert(0, str(HERE.parent / "reference"))
    import hf_models  # noqa: F401
    rows = []
    with tempfile.TemporaryDirectory(prefix="flipsweep-bench-") as top:
        for case in options.cases:
            folder = pathlib.Path(top) / case
            subprocess.run([sys.executable, TRAINER, "make", folder, case], check=True)
            losses = check_losses(folder)
            if not options.json:
                print(f"# {case}: losses " + ", ".join(f"{a:.4f}/{b:.4f}" for a, b in losses))
                print("case      threads FlipSweep tok/s PyTorch tok/s  ratio  range         "
                      "cpu ratio  PyTorch ran with")
            for threads in options.threads:
                rows.append(measure(folder, case, threads, options))
                if not options.json:
                    print_row(rows[-1])
    load, cores = os.getloadavg()[0], os.cpu_count()
    if options.json:
        print(json.dumps({"load": load, "cores": cores, "rows": rows}, indent=1))
    else:
        print(f"# load {load:.1f} on {cores} cores")


if __name__ == "__main__":
    main()
