"""Figures for Plotly as plain dicts, from bars: for the dashboard, notebooks, Streamlit or Dash. Nothing imports Plotly.

``plotly.graph_objects.Figure(day_figure(bars, …))`` shows one.
"""

from stockctl.figures.charts.day import day_figure
from stockctl.figures.charts.frames import apply_traces, frame_traces
from stockctl.figures.charts.theme import PALETTES, ThemeName, themed

__all__ = ["PALETTES", "ThemeName", "apply_traces", "day_figure", "frame_traces", "themed"]
