"""Delivery to real servers: Postfix as the receiver, opendkim and go-msgauth as judges of the signatures.

`conftest.py` starts them once, on loopback addresses of this session alone; `sending.py` is our side.
"""
