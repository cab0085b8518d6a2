"""A grammar of small coding tasks with correct answers, from which the demonstration model is trained.

It writes tasks, arranges them in documents like real prompts, and reads tasks back (`recognise`). It knows nothing of
tokens, models or training; `demo_model/training/train.py` and `demo_model/training/evaluate.py` do.
"""
