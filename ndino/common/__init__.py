"""Used by every part of the kit: atomic files, locks, errors, images, provenance, surroundings."""
