"""Live signals: a strategy on the topic of trades, and what it published."""
