"""The formats: training rows, prompts, recipes, published model folders, data sets in the hub's layout."""
