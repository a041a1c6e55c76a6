"""How often paired tests call two equal models different, by benchmark and by correlation within an image."""
