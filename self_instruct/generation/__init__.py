"""The bootstrapping loop: compose requests, decide which records to keep. Read loop.py first."""
