"""What the scheduler does by itself: releases, publishes, retries, settles, watches agents."""
