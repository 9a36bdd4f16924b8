"""The only modules that touch a database. Rows go in and out as plain tuples and market types."""
