"""What was confirmed is there: kill -9 under load, full disks and flipped bits, with the real executable."""
