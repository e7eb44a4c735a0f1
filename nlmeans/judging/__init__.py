"""What a result is worth, without a clean image: its error, what was removed, and settings chosen by it."""
