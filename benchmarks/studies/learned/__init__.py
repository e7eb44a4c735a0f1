"""The network that corrects NL-Ridge: what it is trained on, its training, and what its parts are worth."""
