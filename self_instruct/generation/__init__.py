"""The bootstrapping loop: what is asked, what is kept. Read loop.py first."""
