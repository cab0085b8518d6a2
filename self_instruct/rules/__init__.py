"""What a record must satisfy by itself: filters and validators."""
