"""Self-instruct on your own GPUs: a local language model writes its own instruction-tuning data."""

__version__ = "0.1.0"
