"""Models of noise that depends on what is measured, and transforms that make such noise white."""
