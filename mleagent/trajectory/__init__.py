"""The trajectory store: every step of every session, in one SQLite file."""
