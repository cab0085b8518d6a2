"""Generate with vLLM in the generating process: one engine for each process of the launch, on that process's devices."""
