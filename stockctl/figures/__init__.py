"""Figures as values, made from series; their SVG, and the page of a report. Nothing here reads a file or the network."""

from stockctl.figures.figure import Band, Figure, Line, Mark, Marks, Table
from stockctl.figures.sampling import SeriesSampler
from stockctl.figures.series import FillPoint, drawdown_figure, equity_figure, price_figure
from stockctl.figures.svg import svg

__all__ = [
    "Band",
    "Figure",
    "FillPoint",
    "Line",
    "Mark",
    "Marks",
    "SeriesSampler",
    "Table",
    "drawdown_figure",
    "equity_figure",
    "price_figure",
    "svg",
]
