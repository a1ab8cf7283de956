"""A run's rows -> what people read: check run, comment, page, JSON."""
