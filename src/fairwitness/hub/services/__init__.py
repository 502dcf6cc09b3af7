"""What the hub does, by topic. Views, beat jobs and commands act only through these functions."""
