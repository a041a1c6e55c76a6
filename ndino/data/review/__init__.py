"""What people say of a data set: a sample of its rows as a page to judge, and what the verdicts amount to."""
