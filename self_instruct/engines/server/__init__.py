"""An OpenAI-compatible server: what it is sent, what it answers, when it is asked again. The engine is openai_compatible.py."""
