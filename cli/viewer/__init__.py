"""The program behind the page of ``nlmeans view``."""
