"""What the protocol itself lets any receiver say, whoever runs it."""

from workers.emulator.answers import answer

BYE = answer(221, "2.0.0", "{host} closing connection", closes=True)
READY = answer(220, "2.0.0", "Ready to start TLS")
RESET = answer(250, "2.0.0", "Reset")
NOOP = answer(250, "2.0.0", "Ok")
CHUNK_OK = answer(250, "2.0.0", "Chunk taken")
UNKNOWN = answer(500, "5.5.2", "Command not recognised")
SYNTAX = answer(501, "5.5.4", "Syntax error in parameters")
# Not counted as a mistake: what was pipelined behind a refused command ends here.
SEQUENCE = answer(503, "5.5.1", "Bad sequence of commands")
PARAMETER = answer(555, "5.5.4", "Unsupported parameter")
NOT_HERE = answer(502, "5.5.1", "Command not implemented")
TOO_BIG = answer(552, "5.3.4", "Message exceeds the size limit")
NEEDS_UTF8 = answer(553, "5.6.7", "The address needs SMTPUTF8")
ENOUGH = answer(421, "4.7.0", "Too many errors, closing connection", closes=True)
