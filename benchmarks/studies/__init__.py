"""Single questions: the table of strengths, filters beside this one, attention, what today means."""
