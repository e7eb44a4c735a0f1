"""What can be learned from the one noisy picture alone, against the filter."""
