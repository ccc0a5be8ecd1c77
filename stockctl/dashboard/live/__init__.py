"""What browsers look at, kept up to date and sent: the hub, its channels of frames, and the threads behind it."""
