"""The dashboard: a live page on the hot store, and the API behind it. It reads, and changes nothing."""
