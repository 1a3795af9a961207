"""What people and scripts are told: why something waits, and how the fleet is.

For `penstock why`:

1. `facts` asks the queue and the configuration what is known.
2. `envelopes`, `campaigns` and `lanes` find the limit that binds, and what else holds; `caps` and `spill` know those two.
3. An `Explanation` is what they answer; the command puts it into words.

For live views, `board` is the one door: a snapshot, and a stream of changes. It is made of `lane_rows`, `lane_rates`, `warming`
and `campaign_rows`; `documents` has the same for scripts.
"""
