"""An exchange of our own that speaks Poloniex's protocols, for demo and tests."""
