"""Filters and validators: checks of a single record, independent of the other records."""
