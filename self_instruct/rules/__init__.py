"""Filters and validators: checks of a single record, mostly independent of the other records."""
