"""Is a record new against the seeds and everything kept so far? By words (rouge.py) and, if wanted, by meaning (embedding.py)."""
