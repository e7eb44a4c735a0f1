"""What people look at: pictures for the screen, the report page, words for pages and noise."""
