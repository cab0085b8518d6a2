"""A grammar of small coding tasks with correct answers, from which the demonstration model is trained.

It writes tasks, arranges them in documents like real prompts, and parses tasks (`recognise`). Tokens and training are
in `demo_model/training/train.py`, measurements in `demo_model/training/evaluate.py`.
"""
