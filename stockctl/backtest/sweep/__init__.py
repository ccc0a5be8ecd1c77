"""``backtest sweep``: one strategy with many sets of parameters, on all cores or on a cluster of Dask."""
