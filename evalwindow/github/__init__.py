"""GitHub: events in, check runs and comments out."""
