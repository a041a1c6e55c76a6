"""What single checks of a translation know: numbers in words, other languages, wholeness, repetition."""
