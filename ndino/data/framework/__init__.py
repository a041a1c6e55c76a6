"""What all sources share: shards, the journal, the merge, and the layout of a data folder."""
