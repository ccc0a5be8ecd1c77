"""What a view shows: read from the stores, and kept up to date by trades."""
