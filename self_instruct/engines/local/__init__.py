"""Hugging Face causal language models in this process."""
