"""Self-instruct on your own GPUs: a local language model writes its own instruction-tuning data."""

from pathlib import Path

__version__ = "0.1.0"
__path__.append(str(Path(__file__).with_name("shims")))
