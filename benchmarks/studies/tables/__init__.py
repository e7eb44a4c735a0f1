"""Where the tables and limits of `nlmeans.choosing` come from."""
