"""The public page: what a hub's log says, drawn as plain files that anybody can draw again from a copy of the log."""
