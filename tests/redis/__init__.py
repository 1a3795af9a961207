"""Real stores as people run them: one server, a master with its Sentinels, a Cluster; and what can happen to each."""
