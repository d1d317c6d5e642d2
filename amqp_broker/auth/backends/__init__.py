"""Where users can be known: in the broker itself, or elsewhere; and several of these, one after the other."""
