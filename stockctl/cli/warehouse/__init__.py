"""Commands of the warehouse: ``glue`` and ``spectrum``."""
