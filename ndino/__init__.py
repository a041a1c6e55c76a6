"""LLaVA-NDiNO: teach a vision-language model a language other than English, starting with Italian."""
