"""Test the self-consistency of a run: predict each record's instruction from its output, and keep those predicted well.

accelerate launch output_instruction.py --batch_dir runs/io
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone runs without being installed

from self_instruct.commands.consistency import run

if __name__ == "__main__":
    run(Path(__file__).with_name("inverse_prompt.txt"), sys.argv[1:])
