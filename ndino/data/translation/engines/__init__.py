"""The translators: MADLAD-400 with CTranslate2 or transformers, and Apertium."""
