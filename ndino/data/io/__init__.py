"""Reading what sources give: downloads, repositories, tables, PDFs, images, texts."""
