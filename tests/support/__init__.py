"""What tests share: a broker with a clock they set, and clients without sockets."""
