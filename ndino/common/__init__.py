"""What every part of the kit uses: files, locks, errors, provenance."""
