"""Known holes in the locked packages, and the bill of materials of what ships."""
