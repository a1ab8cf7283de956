"""A night: one occurrence of a window, from its plan to the mail. Use-cases that need nobody to call them only once."""
