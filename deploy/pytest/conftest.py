pytest_plugins = ["pytest_nearside"]
