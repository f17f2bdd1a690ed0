"""Commands of `reachwatch`: the parser, and what each command does."""
