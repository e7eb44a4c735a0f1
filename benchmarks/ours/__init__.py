"""This package alone on this machine: its calls, its kernels, the machine."""
