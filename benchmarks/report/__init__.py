"""Tables, charts and pages from the JSON of runs."""
