"""A night as a mail: who gets it, what it says, how it is sent."""
