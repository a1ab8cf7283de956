"""Who may put a prompt into an engine now: slots, the governor of a shared engine, and who used its time."""
