"""argv -> one call -> what a person reads: one file a command."""
