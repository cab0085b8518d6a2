"""Generate instruction-input-output records.

accelerate launch instruction_input_output.py --config ../configs/quickstart_iio.yaml --batch_dir runs/iio
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone runs without being installed

from self_instruct.commands.generate import run
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT

if __name__ == "__main__":
    run(INSTRUCTION_INPUT_OUTPUT, Path(__file__).with_name("prompt.txt"), sys.argv[1:])
