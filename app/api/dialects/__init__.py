"""Other services' languages, spoken over the same store, so that their users can move here."""
