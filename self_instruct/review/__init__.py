"""A model is asked about records that exist: the judge and self-consistency."""
