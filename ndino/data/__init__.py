"""Italian vision-language data: from published sources to LLaVA JSON (sections 3.1 and 3.2 of the paper)."""
