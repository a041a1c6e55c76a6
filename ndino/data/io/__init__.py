"""Input and output of the sources: downloads, repositories, tables, PDFs, images and texts."""
