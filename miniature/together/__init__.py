"""The demo in several languages: each alone, all together, images in one and text in the others."""
