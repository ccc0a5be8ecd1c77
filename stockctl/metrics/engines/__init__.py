"""Engines: where metrics are computed. ``registry`` names them, ``base`` is what each provides."""
