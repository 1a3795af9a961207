"""`penstock why`: what an envelope, a campaign or a lane waits for, who says so, and until when.

1. `facts` asks the queue and the configuration what is known.
2. `envelopes`, `campaigns` and `lanes` find the limit that binds, and what else holds; `caps` and `spill` know those two.
3. An `Explanation` is what they answer; the command puts it into words.
"""
