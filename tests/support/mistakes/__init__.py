"""User mistakes, each tried with the real command: the given options and the message."""
