"""From prompts to answer tokens: prefix sharing, batches, greedy decoding, the likelihood of letters."""
