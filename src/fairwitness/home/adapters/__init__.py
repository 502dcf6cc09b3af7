"""Where footage comes from: each kind of source is one adapter behind `base.Adapter` (docs/operate/cameras.md has the record)."""
