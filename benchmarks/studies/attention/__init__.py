"""What non-local blocks attend to, and what they are worth: a seeded study."""
