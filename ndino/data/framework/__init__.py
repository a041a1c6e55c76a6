"""What every source shares: shards, journal, merge, the layout of a data folder."""
