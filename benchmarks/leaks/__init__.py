"""How many planted copies `ndino data leaks` finds, how often it is wrong, and how fast it is."""
