"""Generation speed of the engines on the same work in one run: python benchmarks/generation.py [--vllm_python PYTHON]

Prompts of some 400 tokens that share the first 256, output lengths log-normal (mean 80, 20 to 200), tokens sampled with
top_p 0.95. Each measurement runs in its own process. Results are stored in a JSON file, which a stopped run completes; delete
it to measure again. The methods:

- `one`: `generate` of transformers, one prompt at a time, on the first eighth of the requests;
- `static`: `generate` in left-padded batches of prompts of similar length;
- `slots` and `paged`: the back-ends of this project;
- `vllm`: vLLM in process, with --vllm_python, the Python of an environment that has it;
- `llama.cpp`: through the package xllamacpp, if it is installed, at the same precision and with 4 bits a weight.

On a CPU the models are a real one (--model, for llama.cpp with a GGUF file of the same name next to it) and two small ones of
random weights; on a GPU, StarCoder2 of 1, 3 and 7 and Llama of 8 billion random weights in bfloat16.

Columns: ready, seconds from the start of the process until the first request can be given; tokens/s; its ratio to the first
`static` of the model; of the roofline, the least possible time as a share of the time taken, prompts included, and what limits
it; GiB, the peak resident memory of the process and its children, or the peak memory of the GPUs.

The least possible time is the greater of two (the roofline of Williams, Waterman and Patterson, CACM 52(4), 2009):

- memory: the time to read all weights once a step, with all rows filled, and a row's keys and values at each of its tokens, at
  the speed of copying a large tensor, which reads and writes (McCalpin's STREAM, 1995);
- matrix: the time for 2 operations a weight for each token written and each token of a prompt, with the beginning that prompts
  share counted once (Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1), at the speed of one large
  matrix product.

Both speeds are measured on this machine, in the same precision and with the same total number of threads, or on one GPU. The
products of attention are left out. Weights of 4 bits are compared with matrix products in bfloat16. CPUs without AMX get no
measurement in bfloat16, in which their matrix products can take a hundred times as long, and are compared in float32.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from workload import LARGE, QUICK, SMALL, TINY, ModelSize, Work, model_size, write_work

from self_instruct.engines.local.packing import multiplies_bfloat16

HERE = Path(__file__).resolve().parent
DTYPES = ["float32", "bfloat16"]
WIDTHS = {"float32": 4, "bfloat16": 2, "q4_0": 0.5625}
LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Part:
    """One measurement. `model` is a folder, or a GGUF file for llama.cpp; `like` is the folder that has its shape."""

    name: str
    model: Path
    like: Path
    dtype: str
    method: str
    threads: int
    processes: int
    rows: int
    requests: int

    @property
    def key(self) -> str:
        """The name of the measurement in the file of results."""
        size = f"{self.processes}x{self.threads}" if self.threads else f"{self.processes}"
        return f"{self.name} {self.dtype} {self.method} {size} {self.rows} {self.requests}"

    @property
    def machine(self) -> str:
        """The name, in the file of results, of the machine's speeds that this measurement is compared with."""
        precise = self.dtype if self.dtype in DTYPES else DTYPES[-1] if multiplies_bfloat16() else DTYPES[0]
        return f"speeds {precise} {self.threads * self.processes}"

    def command(self, work: Path, python: str) -> list[str]:
        """The command line of one of its processes."""
        script = {"vllm": "generation_vllm.py", "llama.cpp": "generation_llama_cpp.py"}
        command = [python, str(HERE / script.get(self.method, "generation_local.py")), "--method", self.method]
        command += ["--model", str(self.model), "--dtype", self.dtype, "--work", str(work), "--rows", str(self.rows)]
        return [*command, "--begun", str(time.time())]


class PeakMemory(threading.Thread):
    """Watches the resident memory of processes and their children, or the memory of the GPUs, once a second."""

    def __init__(self, processes: list["subprocess.Popen[str]"], on_gpu: bool) -> None:
        super().__init__(daemon=True)
        self._processes, self._on_gpu, self._end = processes, on_gpu, threading.Event()
        self.bytes = 0

    def run(self) -> None:
        """Watch until `stop`."""
        while not self._end.wait(1):
            self.bytes = max(self.bytes, _gpu_memory() if self._on_gpu else sum(map(_memory, self._processes)))

    def stop(self) -> int:
        """End, and return the peak in bytes."""
        self._end.set()
        self.join()
        return self.bytes


def _memory(process: "subprocess.Popen[str]") -> int:
    try:
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        return sum(member.memory_info().rss for member in tree)
    except psutil.Error:
        return 0


def _gpu_memory() -> int:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return sum(int(line) for line in subprocess.check_output(command, text=True).split()) * 2**20


def measure(part: Part, folder: Path, work: Work, python: str, on_gpu: bool) -> dict[str, Any]:
    """Run the processes of a measurement at the same time, each with its share of the requests."""
    path = folder / f"work-{part.requests // part.processes}-{work.vocabulary}.json"
    write_work(path, work, part.requests // part.processes)
    environment = dict(os.environ)
    if part.threads:
        environment.update(OMP_NUM_THREADS=str(part.threads), VLLM_CPU_OMP_THREADS_BIND="nobind")
    processes = []
    for at in range(part.processes):
        own = {**environment, "CUDA_VISIBLE_DEVICES": str(at)} if on_gpu else environment
        command = part.command(path, python)
        processes.append(subprocess.Popen(command, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    memory = PeakMemory(processes, on_gpu)
    memory.start()
    try:
        printed = [process.communicate(timeout=LIMIT_SECONDS) for process in processes]
    except subprocess.TimeoutExpired:
        return {"failed": f"took over {LIMIT_SECONDS} seconds"}
    finally:
        peak = memory.stop()
        for process in processes:
            process.kill()
    try:
        found = [json.loads(output.strip().splitlines()[-1]) for output, _ in printed]
    except (ValueError, IndexError):
        return {
            "failed": next((errors.strip().splitlines()[-1] for _, errors in printed if errors.strip()), "no output")
        }
    seconds = max(result["seconds"] for result in found)
    return {
        "ready": max(result["ready"] for result in found), "seconds": seconds, "memory": peak,
        "tokens": sum(result["tokens"] for result in found), "work": str(path),
    }  # fmt: skip


@dataclass(frozen=True)
class Speeds:
    """The measured limits of a machine, per second: bytes read and written, and multiplications and additions."""

    bytes: float
    operations: float


def measure_speeds(dtype: str, threads: int) -> Speeds:
    """Time a copy and a matrix product in a new process; `threads` is 0 on a GPU."""
    command = [sys.executable, str(HERE / "generation_speeds.py"), dtype]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)} if threads else None
    return Speeds(**json.loads(subprocess.check_output(command, env=environment, text=True)))


def least_seconds(part: Part, size: ModelSize, rows: list[dict[str, Any]], speeds: Speeds) -> dict[str, float]:
    """Return the least times in which `rows`, the work of one process, can be done: as memory and as matrix products limit it.

    Processes on a CPU share both; on GPUs, each process has its own.
    """
    width, written = WIDTHS[part.dtype], sum(row["wanted"] for row in rows)
    weights, prompts = size.layers + size.head, [row["prompt"] for row in rows]
    columns = enumerate(zip(*prompts, strict=False))
    shared = next((at for at, tokens in columns if len(set(tokens)) > 1), min(map(len, prompts)))
    steps = max(written / part.rows, *(row["wanted"] for row in rows))
    cached = sum(row["wanted"] * (len(row["prompt"]) + row["wanted"] / 2) for row in rows)
    read = shared + sum(len(prompt) - shared for prompt in prompts)
    sharing = part.processes if part.threads else 1
    return {
        "memory": sharing * (steps * weights * width + cached * size.token * max(width, 2)) / speeds.bytes,
        "matrix": sharing * 2 * (size.layers * read + weights * written) / speeds.operations,
    }


def models(options: argparse.Namespace, folder: Path, on_gpu: bool) -> list[tuple[str, Path, list[str]]]:
    """Return name, folder and precisions of each model; those of random weights are made here."""
    found: list[tuple[str, Path, list[str]]] = []
    if options.model:
        found.append(
            (Path(options.model).name, Path(options.model), DTYPES if on_gpu or multiplies_bfloat16() else DTYPES[:1])
        )
    dtype = "bfloat16" if on_gpu else "float32"
    for shape in TINY if options.quick else LARGE if on_gpu else SMALL:
        path = folder / shape.name.replace(" ", "-")
        shape.save(path, (QUICK if options.quick else Work()).context, dtype)
        found.append((shape.name, path, [dtype]))
    return found


def parts(options: argparse.Namespace, folder: Path, on_gpu: bool) -> list[Part]:
    """List the measurements."""
    found: list[Part] = []
    ways = [(0, 1), (0, 2)] if on_gpu else [(1, 1)] if options.quick else [(2, 1), (1, 1), (1, 2)]
    for name, path, dtypes in models(options, folder, on_gpu):
        gguf = path.with_name(f"{path.name}.gguf")
        for threads, processes in ways:
            for dtype in dtypes:
                first = (threads, processes) == ways[0]
                methods = [(method, dtype) for method in ("one", "paged")] * (first and dtype == dtypes[0])
                methods += [("static", dtype)] * first + [("slots", dtype)]
                methods += [("vllm", dtype)] * bool(options.vllm_python)
                if gguf.exists() and find_spec("xllamacpp"):
                    methods += [("llama.cpp", dtype)] + [("llama.cpp", "q4_0")] * (first and dtype == dtypes[0])
                for method, precision in methods:
                    if processes > 1 and method == "llama.cpp":
                        continue
                    rows, requests = options.rows, options.requests
                    if method == "one":
                        rows, requests = 1, max(4, requests // 8)
                    model = gguf if method == "llama.cpp" else path
                    found.append(Part(name, model, path, precision, method, threads, processes, rows, requests))
    return found


def print_table(plan: list[Part], results: dict[str, dict[str, Any]]) -> None:
    """Print the results as a Markdown table."""
    print(
        "| model | precision | processes x threads | method | ready, s | tokens/s | / static | of the roofline | GiB |"
    )
    print("|---|---|---|---|--:|--:|--:|---|--:|")
    for part in plan:
        result = results.get(part.key)
        if result is None:
            continue
        cells = f"| {part.name} | {part.dtype} | {part.processes} x {part.threads or 'GPU'} | {part.method} |"
        if "failed" in result:
            print(f"{cells} | {result['failed'][:100].replace('|', '/')} | | | |")
            continue
        rate = result["tokens"] / result["seconds"]
        static = next((
            results[other.key] for other in plan
            if (other.name, other.method) == (part.name, "static") and "seconds" in results.get(other.key, {})
        ), None)  # fmt: skip
        ratio = f"{rate / (static['tokens'] / static['seconds']):.2f}" if static else ""
        rows = json.loads(Path(result["work"]).read_text(encoding="utf-8"))
        least = least_seconds(part, model_size(part.like), rows, Speeds(**results[part.machine]))
        bound = max(least, key=lambda name: least[name])
        share = f"{least[bound] / result['seconds']:.0%} {bound}"
        print(f"{cells} {result['ready']:.1f} | {rate:.1f} | {ratio} | {share} | {result['memory'] / 2**30:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, help="how many [32; 256 on a GPU; --quick: 8]")
    parser.add_argument("--rows", type=int, help="how many at a time [16; 128 on a GPU; --quick: 4]")
    parser.add_argument("--model", help="folder of a real model, such as `make real-model` prints")
    parser.add_argument("--vllm_python", help="Python of an environment that has vLLM")
    parser.add_argument("--folder", default="/tmp/generation-benchmark", help="where models and results are kept")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD",
        help="measure only parts whose name contains all of these words: a model, a precision, a method, or 2x1 for two "
        "processes of one thread each",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the names of the parts, without measuring")
    parser.add_argument("--quick", action="store_true", help="tiny models and short texts: does it run at all?")
    options = parser.parse_args()
    on_gpu = not options.quick and Path("/proc/driver/nvidia").exists()
    options.requests = options.requests or (8 if options.quick else 256 if on_gpu else 32)
    options.rows = options.rows or (4 if options.quick else 128 if on_gpu else 16)
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    plan = [part for part in parts(options, folder, on_gpu) if all(word in part.key for word in options.only)]
    if options.list:
        print(*(f"{part.key}{': measured' if part.key in results else ''}" for part in plan), sep="\n")
        return
    work = QUICK if options.quick else Work()
    for part in plan:
        if part.machine not in results:
            results[part.machine] = asdict(measure_speeds(part.machine.split()[1], part.threads * part.processes))
        if part.key not in results:
            python = options.vllm_python if part.method == "vllm" else sys.executable
            results[part.key] = {"date": time.strftime("%Y-%m-%d"), **measure(part, folder, work, python, on_gpu)}
            path.write_text(json.dumps(results, indent=1), encoding="utf-8")
            print(f"{part.key}: {results[part.key]}", file=sys.stderr, flush=True)
    dates = sorted({results[part.key]["date"] for part in plan})
    print(f"{options.requests} requests, {options.rows} rows, {' to '.join(dates)}\n")
    for name in sorted({part.machine for part in plan}):
        _, dtype, threads = name.split()
        speeds = Speeds(**results[name])
        where = "GPU" if threads == "0" else f"{threads} threads"
        print(f"{dtype}, {where}: {speeds.bytes / 1e9:.1f} GB/s copied, {speeds.operations / 1e12:.3f} TFLOP/s")
    print()
    print_table(plan, results)


if __name__ == "__main__":
    main()
