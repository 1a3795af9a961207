"""Rows of the lists of faults and of hostile input that only the whole way shows: from submission to the wire and back."""
