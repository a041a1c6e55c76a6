"""What the kit knows of a language, and how a model's answer in it is read."""
