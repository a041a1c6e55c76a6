"""The translators: MADLAD-400 by CTranslate2 or transformers, and Apertium."""
