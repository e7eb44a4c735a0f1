"""What a notebook shows of a call: the settings as a table, the picture before and after with a divider.

Everything stands in one piece of HTML, which asks for nothing from outside.
"""
