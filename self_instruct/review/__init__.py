"""Have a model review existing records: the judge and self-consistency."""
