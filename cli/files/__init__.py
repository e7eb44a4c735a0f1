"""Files and folders: their names, and outputs that appear complete or not at all."""
