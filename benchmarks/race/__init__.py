"""Programs against one another: pictures, plans of who meets whom, processes that take turns, whole runs."""
