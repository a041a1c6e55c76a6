"""One module a published source: what its files hold and how they become rows."""
