"""Who a client is: users, and the SASL mechanisms they log in with."""
