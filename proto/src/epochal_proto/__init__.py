"""The contract of Epochal, generated from proto/ when the distribution is built."""
