"""Compare a record with every kept one: by ROUGE-L (rouge.py) and, optionally, by embeddings (embedding.py)."""
