"""What is said of a result without a clean image, against what a clean image says."""
