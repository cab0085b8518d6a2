"""Generate with OpenAI-compatible servers: requests, answers, retries and the distribution over servers."""
