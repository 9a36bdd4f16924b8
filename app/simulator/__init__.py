"""An exchange of our own that speaks Poloniex's protocols: the demo's and the tests' counterpart."""
