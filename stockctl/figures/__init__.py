"""Figures as values, made from series; their SVG, and the page of a report. Nothing here reads a file or the network."""
