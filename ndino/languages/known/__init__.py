"""What libraries, tools and published sets know of a language."""
