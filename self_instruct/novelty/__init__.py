"""Is a record new against all that was kept? By words (rouge.py) and, if wanted, by meaning (embedding.py)."""
