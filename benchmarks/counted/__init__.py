"""What can be counted without a GPU: instructions of the kernels, and what they allow."""
