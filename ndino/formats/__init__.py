"""File formats: training rows, prompts, recipes, saved model folders, data sets in the hub's layout."""
