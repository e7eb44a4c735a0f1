"""Faults to inject and hostile files to read: the kit of the command line's tests."""
