"""The variance of the noise at each brightness, and the model that it follows."""
