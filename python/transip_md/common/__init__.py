"""What every other folder may use: errors, units, tolerances, files, locks; it imports none of them."""
