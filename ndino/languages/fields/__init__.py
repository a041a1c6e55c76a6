"""The fields of a language's file: what they are, and what is wrong with them."""
