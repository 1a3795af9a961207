"""`penstock top`: the fleet in a terminal, as it is now.

1. `sender.explaining.board` looks at the fleet; each look is a `Board`.
2. `keys` makes keys of what comes from the terminal; `view` says what a key changes about what is shown: nothing here blocks.
3. `columns` knows what stands in each column, and `screen` draws a board as lines for a terminal of any size.
4. `terminal` borrows the terminal, and gives it back as it was, however the program ends; `show` brings all together.
"""
